"""Exact order statistics of a column of any length, which is read in batches any number of times.

Radix selection: the bits of a float64, turned so that they sort as the numbers do, are counted 16 at a time. Each pass
over the column narrows the wanted rank to one 65,536th of what the last one left; as soon as few enough values are left
they are collected and sorted. Memory does not grow with the column, however many of its values are equal.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Column = Callable[[], Iterable[NDArray[np.float64]]]
"""Reads the column once, from its beginning, in batches. NaN is no value."""

WIDTH = 64
DIGIT = 16
"""Bits that one pass counts: the counters (512 KiB) stay in a core's cache."""
FEW = 1 << 20
"""Values that may be collected (8 MiB)."""
SIGN = np.int64(-(1 << 63))


@dataclass(frozen=True)
class Ranked:
    """The value of a rank, and how many values lie below it and are equal to it."""

    value: float
    below: int
    equal: int


class Ranks:
    """Order statistics of a column: one pass when made, one for most ranks, never more than three."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.total = 0
        """Values, NaN among them."""
        self._counts = np.zeros(1 << DIGIT, dtype=np.int64)
        for values in column():
            self.total += values.size
            self._counts += _leading(values)
        self.present = int(self._counts.sum())
        """Values that are not NaN."""

    def at(self, rank: int) -> Ranked:
        """The value with `rank` others before it in ascending order (0 is the lowest). -0.0 counts as 0.0.

        Raises IndexError when the column has no such rank.
        """
        if not 0 <= rank < self.present:
            raise IndexError(f"rank {rank} of a column of {self.present} values")
        counts, prefix, below = self._counts, 0, 0
        for shift in range(WIDTH - DIGIT, -1, -DIGIT):
            upto = np.cumsum(counts)
            digit = int(np.searchsorted(upto, rank - below, side="right"))
            prefix, left = prefix << DIGIT | digit, int(counts[digit])
            below += int(upto[digit]) - left
            if shift and left <= FEW:
                return self._collected(rank, prefix, shift, below)
            if shift:
                counts = np.zeros_like(counts)
                for keys in self._within(prefix, shift):
                    counts += _counted(keys, shift - DIGIT)
        return Ranked(_value(prefix), below, left)

    def _collected(self, rank: int, prefix: int, shift: int, below: int) -> Ranked:
        keys = np.sort(np.concatenate(list(self._within(prefix, shift))))
        key = keys[rank - below]
        first, end = (int(np.searchsorted(keys, key, side=side)) for side in ("left", "right"))
        return Ranked(_value(int(key)), below + first, end - first)

    def _within(self, prefix: int, shift: int) -> Iterator[NDArray[np.uint64]]:
        """Keys whose bits above `shift` are `prefix`; most values are told to be none by two comparisons."""
        low, high = _value(prefix << shift), _value((prefix + 1 << shift) - 1)
        low, high = -np.inf if np.isnan(low) else low, np.inf if np.isnan(high) else high
        for values in self.column():
            keys = _keys(values[(values >= low) & (values <= high)])
            yield keys[keys >> np.uint64(shift) == np.uint64(prefix)]


def _leading(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """How often each leading digit of a key occurs, without the keys: those of negative numbers run backwards."""
    digits = ((values + 0.0).view(np.uint64) >> np.uint64(WIDTH - DIGIT)).view(np.int64)
    counts = np.bincount(digits, minlength=1 << DIGIT)
    missing = np.isnan(values)
    if missing.any():
        counts -= np.bincount(digits[missing], minlength=1 << DIGIT)
    half = 1 << DIGIT - 1
    return np.concatenate([counts[: half - 1 : -1], counts[:half]])


def _keys(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Whole numbers that sort as the values do, none of which is NaN."""
    bits = (values + 0.0).view(np.int64)  # the sum makes 0.0 of -0.0
    keys: NDArray[np.uint64] = (bits ^ ((bits >> 63) | SIGN)).view(np.uint64)
    return keys


def _counted(keys: NDArray[np.uint64], shift: int) -> NDArray[np.int64]:
    """How often each 16-bit digit stands above `shift`."""
    digits = (keys >> np.uint64(shift)) & np.uint64((1 << DIGIT) - 1)
    return np.bincount(digits.view(np.int64), minlength=1 << DIGIT)


def _value(key: int) -> float:
    bits = key ^ (1 << 63) if key >> 63 else key ^ ((1 << WIDTH) - 1)
    return float(np.uint64(bits).view(np.float64))
