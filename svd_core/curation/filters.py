"""Which clips a predicate keeps, and what each part of it removes. Pure functions over the clip table.

A share is of all clips that have the score (paper, Stage II: each axis has its threshold chosen alone), so the order of
the axes cannot change what is kept. Exactly round(share * n) clips are dropped: ties at the threshold are broken by a
hash of the clip id, never by the order of rows. A clip without the score does not pass a predicate on it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from svd_core.curation.table import SCORES
from svd_core.settings import Keep, Percentile

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Removal:
    """What one predicate on one axis removes: `removes[i]` is about row i. `threshold` is the lowest (highest) score
    that `drop_lowest` (`drop_highest`) leaves, or the given bound; null where there is none.
    """

    axis: str
    predicate: str
    threshold: float | None
    removes: Mask


def id_hash(clip_id: str, salt: str = "") -> bytes:
    """16 bytes that order clips without regard to scores, rows or polars' own (unstable) hashes."""
    return hashlib.blake2b(f"{salt}/{clip_id}".encode(), digest_size=16).digest()


def kept(table: pl.DataFrame, keep: Keep) -> Mask:
    """Rows of `table` (columns `clip_id` and the scores) that pass every predicate of `keep`."""
    mask = np.ones(table.height, dtype=bool)
    for removal in removals(table, keep):
        mask &= ~removal.removes
    return mask


def funnel(table: pl.DataFrame, keep: Keep) -> list[dict[str, object]]:
    """One entry a predicate, in order: what it removes alone, and what is left for it to remove in sequence."""
    remaining = np.ones(table.height, dtype=bool)
    entries: list[dict[str, object]] = []
    for removal in removals(table, keep):
        in_sequence = int((remaining & removal.removes).sum())
        remaining &= ~removal.removes
        entries.append(
            {
                "axis": removal.axis,
                "predicate": removal.predicate,
                "threshold": removal.threshold,
                "removed_alone": int(removal.removes.sum()),
                "removed_in_sequence": in_sequence,
                "remaining": int(remaining.sum()),
            }
        )
    return entries


def removals(table: pl.DataFrame, keep: Keep) -> Iterator[Removal]:
    """Every predicate of `keep` applied alone to the whole table, axis by axis in the table's order."""
    for axis in SCORES:
        rule: Percentile | None = getattr(keep, axis)
        if rule is not None:
            yield from _axis_removals(table, axis, rule)


def _axis_removals(table: pl.DataFrame, axis: str, rule: Percentile) -> Iterator[Removal]:
    scores = table[axis].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    missing = np.isnan(scores)
    if missing.any():
        yield Removal(axis, "has no score", None, missing)
    if rule.min is not None:
        yield Removal(axis, f"min {rule.min:g}", rule.min, scores < rule.min)
    if rule.max is not None:
        yield Removal(axis, f"max {rule.max:g}", rule.max, scores > rule.max)
    for name, share, sign in (("drop_lowest", rule.drop_lowest, 1.0), ("drop_highest", rule.drop_highest, -1.0)):
        if share is not None:
            removes = _lowest(sign * scores, share, table["clip_id"])
            left = sign * scores[~removes & ~missing]
            threshold = float(sign * left.min()) if left.size else None
            yield Removal(axis, f"{name} {share:g}", threshold, removes)


def _lowest(scores: NDArray[np.float64], share: float, clip_ids: pl.Series) -> Mask:
    """The round(share * n) lowest of the n scores that are not NaN, halves rounded up."""
    present = scores[~np.isnan(scores)]
    count = int(np.floor(share * present.size + 0.5))
    if count == 0:
        return np.zeros(scores.size, dtype=bool)
    threshold = np.partition(present, count - 1)[count - 1]
    removes: Mask = scores < threshold
    tied = np.flatnonzero(scores == threshold)
    chosen = sorted(tied, key=lambda row: id_hash(clip_ids[int(row)]))[: count - int(removes.sum())]
    removes[chosen] = True
    return removes
