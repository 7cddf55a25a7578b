"""One predicate on one axis, resolved against the whole table so that it can decide about any clip by itself."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray

from svd_core.curation.ranks import Ranks
from svd_core.curation.settings import Keep, Percentile
from svd_core.curation.table import AXES, Batch, Batches

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Rule(ABC):
    """What one predicate removes. `threshold` is the lowest (highest) score that `drop_lowest` (`drop_highest`)
    leaves, or the given bound; null where there is none.
    """

    axis: str
    predicate: str
    threshold: float | None = None

    @abstractmethod
    def removes(self, batch: Batch) -> Mask:
        """For each clip of a batch, whether this rule removes it."""


@dataclass(frozen=True)
class NoScore(Rule):
    """Removes clips without the score: a failed measurement passes no predicate."""

    predicate: str = "has no score"

    def removes(self, batch: Batch) -> Mask:
        return np.isnan(scores(batch, self.axis))


@dataclass(frozen=True)
class Outside(Rule):
    """Removes scores below `low` or above `high` and, of those equal to the threshold, the ones whose clip's hash is
    at most `last_tie`.
    """

    low: float = -np.inf
    high: float = np.inf
    last_tie: bytes | None = None

    def removes(self, batch: Batch) -> Mask:
        values = scores(batch, self.axis)
        removed: Mask = (values < self.low) | (values > self.high)
        if self.last_tie is not None:
            tied = np.flatnonzero(values == self.threshold)
            hashes = tie_hashes(batch, tied)
            removed[tied] = np.fromiter((value <= self.last_tie for value in hashes), dtype=bool, count=tied.size)
        return removed


@dataclass(frozen=True)
class OtherMotion(Rule):
    """Removes clips whose camera does not move as `wanted`, or moves nobody knows how."""

    wanted: str = ""

    def removes(self, batch: Batch) -> Mask:
        return np.array([value != self.wanted for value in batch.column(self.axis).to_pylist()], dtype=bool)


@dataclass(frozen=True)
class Duplicate(Rule):
    """Removes clips that are near-duplicates of another one; that one stays."""

    def removes(self, batch: Batch) -> Mask:
        return np.asarray(batch.column(self.axis).is_valid().to_numpy(zero_copy_only=False), dtype=bool)


def resolve(batches: Batches, keep: Keep) -> list[Rule]:
    """Every predicate of `keep` with its threshold over all clips of the table, axis by axis in the table's order."""
    rules = [rule for axis in AXES if (wanted := getattr(keep, axis)) for rule in _axis_rules(batches, axis, wanted)]
    if keep.camera_motion is not None:
        rules.append(OtherMotion("camera_motion", f"is {keep.camera_motion}", wanted=keep.camera_motion))
    if keep.duplicate_of is not None:
        rules.append(Duplicate("duplicate_of", "drop near-duplicates"))
    return rules


def scores(batch: Batch, axis: str) -> NDArray[np.float64]:
    """The column as float64, NaN where there is no score."""
    return np.asarray(batch.column(axis).to_numpy(zero_copy_only=False), dtype=np.float64)


def tie_hashes(batch: Batch, rows: NDArray[np.intp]) -> Iterator[bytes]:
    """What orders clips of equal scores."""
    return map(id_hash, batch.column("clip_id").take(rows).to_pylist())


def id_hash(clip_id: str, salt: str = "") -> bytes:
    """16 bytes that order clips without regard to scores, rows or polars' own (unstable) hashes."""
    return hashlib.blake2b(f"{salt}/{clip_id}".encode(), digest_size=16).digest()


def _axis_rules(batches: Batches, axis: str, wanted: Percentile) -> Iterator[Rule]:
    ranks = Ranks(lambda: (scores(batch, axis) for batch in batches([axis])))
    if ranks.present < ranks.total:
        yield NoScore(axis)
    if wanted.min is not None:
        yield Outside(axis, f"min {wanted.min:g}", wanted.min, low=wanted.min)
    if wanted.max is not None:
        yield Outside(axis, f"max {wanted.max:g}", wanted.max, high=wanted.max)
    if wanted.drop_lowest is not None:
        yield _lowest(batches, ranks, Outside(axis, f"drop_lowest {wanted.drop_lowest:g}"), wanted.drop_lowest)
    if wanted.drop_highest is not None:
        yield _highest(batches, ranks, Outside(axis, f"drop_highest {wanted.drop_highest:g}"), wanted.drop_highest)


def _lowest(batches: Batches, ranks: Ranks, rule: Outside, share: float) -> Rule:
    count = _count(share, ranks)
    if count == ranks.present:
        return replace(rule, low=np.inf, high=-np.inf)
    found = ranks.at(count)
    last_tie = _last_tie(batches, rule.axis, found.value, count - found.below)
    return replace(rule, threshold=found.value, low=found.value, last_tie=last_tie)


def _highest(batches: Batches, ranks: Ranks, rule: Outside, share: float) -> Rule:
    count = _count(share, ranks)
    if count == ranks.present:
        return replace(rule, low=np.inf, high=-np.inf)
    found = ranks.at(ranks.present - 1 - count)
    above = ranks.present - found.below - found.equal
    last_tie = _last_tie(batches, rule.axis, found.value, count - above)
    return replace(rule, threshold=found.value, high=found.value, last_tie=last_tie)


def _count(share: float, ranks: Ranks) -> int:
    """Clips that a share of those with the score is, halves rounded up."""
    return int(np.floor(share * ranks.present + 0.5))


def _last_tie(batches: Batches, axis: str, value: float, count: int) -> bytes | None:
    """The hash of the last of `count` clips that are dropped though they score no worse than the first one kept."""
    if count == 0:
        return None
    every = (
        value_hash
        for batch in batches([axis, "clip_id"])
        for value_hash in tie_hashes(batch, np.flatnonzero(scores(batch, axis) == value))
    )
    return nsmallest(count, every)[-1]
