"""Exact order statistics of a column that is read in batches, any number of times, and never held whole.

Radix selection: the bits of a float64, turned so that they sort as the numbers do, are counted 16 at a time. Each pass
over the column narrows the wanted rank to one 65,536th of what the last one left; as soon as few enough values are left
they are collected and sorted. Memory does not grow with the column, however many of its values are equal.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Column = Callable[[], Iterable[NDArray[np.float64]]]
"""Reads the column once, from its beginning, in batches without NaN."""

DIGIT = 16
"""Bits that one pass counts: the counters (512 KiB) stay in a core's cache."""
FEW = 1 << 20
"""Values that may be collected (8 MiB)."""
SIGN = np.int64(-(1 << 63))


@dataclass(frozen=True)
class Ranked:
    """The value of a rank, and how many values lie `below` it."""

    value: float
    below: int


def ranked(column: Column, rank: int) -> Ranked:
    """The value with `rank` others before it in ascending order (0 is the lowest).

    Raises IndexError when the column has no such rank. -0.0 counts as 0.0.
    """
    prefix, below, left = 0, 0, None
    for shift in range(64 - DIGIT, -1, -DIGIT):
        if left is not None and left <= FEW:
            keys = np.sort(np.concatenate([_within(values, prefix, shift + DIGIT) for values in column()]))
            key = keys[rank - below]
            return Ranked(_value(key), below + int(np.searchsorted(keys, key)))
        counts = np.zeros(1 << DIGIT, dtype=np.int64)
        for values in column():
            keys = _within(values, prefix, shift + DIGIT)
            counts += np.bincount(_digits(keys, shift), minlength=1 << DIGIT)
        upto = np.cumsum(counts)
        if not 0 <= rank - below < upto[-1]:
            raise IndexError(f"rank {rank} of a column of {below + upto[-1]} values")
        digit = int(np.searchsorted(upto, rank - below, side="right"))
        prefix, left = prefix << DIGIT | digit, int(counts[digit])
        below += int(upto[digit]) - left
    return Ranked(_value(np.uint64(prefix)), below)


def _within(values: NDArray[np.float64], prefix: int, shift: int) -> NDArray[np.uint64]:
    """Sortable keys of the values whose bits above `shift` are `prefix` (all of them at the first digit)."""
    bits = (values + 0.0).view(np.int64)  # the sum makes 0.0 of -0.0
    keys = (bits ^ ((bits >> 63) | SIGN)).view(np.uint64)
    return keys if shift == 64 else keys[keys >> np.uint64(shift) == np.uint64(prefix)]


def _digits(keys: NDArray[np.uint64], shift: int) -> NDArray[np.int64]:
    mask = np.uint64((1 << DIGIT) - 1)
    return ((keys >> np.uint64(shift)) & mask).view(np.int64)


def _value(key: np.uint64) -> float:
    bits = int(key)
    bits = bits ^ (1 << 63) if bits >> 63 else bits ^ ((1 << 64) - 1)
    return float(np.uint64(bits).view(np.float64))
