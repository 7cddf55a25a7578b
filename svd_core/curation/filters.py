"""Which clips a predicate keeps, and what each part of it removes, in passes over a clip table of any size.

A share is of all clips that have the score (paper, Stage II: each axis has its threshold chosen alone), so the order of
the axes cannot change what is kept. Exactly round(share * n) clips are dropped: ties at the threshold are broken by a
hash of the clip id, never by the order of rows. A clip without the score does not pass a predicate on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from svd_core.curation.rules import Mask, Rule, resolve
from svd_core.curation.settings import Keep
from svd_core.curation.table import Batch, Batches, in_memory

Entry = dict[str, object]
"""What one predicate of a funnel removes; see `Funnel.entries`."""


@dataclass
class Funnel:
    """Counts what each rule removes alone, and what the rules before it leave for it to remove."""

    rules: list[Rule]
    clips: int = 0
    alone: list[int] = field(init=False)
    in_sequence: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.alone, self.in_sequence = [0] * len(self.rules), [0] * len(self.rules)

    @property
    def kept(self) -> int:
        """Clips that passed every rule so far."""
        return self.clips - sum(self.in_sequence)

    def add(self, batch: Batch) -> Mask:
        """Count a batch of clips; true for those that pass every rule."""
        remaining = np.ones(batch.num_rows, dtype=bool)
        for index, rule in enumerate(self.rules):
            removed = rule.removes(batch)
            self.alone[index] += int(np.count_nonzero(removed))
            self.in_sequence[index] += int(np.count_nonzero(remaining & removed))
            remaining &= ~removed
        self.clips += remaining.size
        return remaining

    def entries(self) -> list[Entry]:
        """One entry a rule, in order."""
        remaining = self.clips
        entries: list[Entry] = []
        for rule, alone, in_sequence in zip(self.rules, self.alone, self.in_sequence, strict=True):
            remaining -= in_sequence
            entries.append(
                {
                    "axis": rule.axis,
                    "predicate": rule.predicate,
                    "threshold": rule.threshold,
                    "removed_alone": alone,
                    "removed_in_sequence": in_sequence,
                    "remaining": remaining,
                }
            )
        return entries


def sift(batches: Batches, keep: Keep) -> tuple[Funnel, Iterator[tuple[Batch, Mask]]]:
    """The funnel of a table, and its batches (`clip_id` and what `keep` looks at), each with the rows that are kept.

    The funnel counts while the batches are taken, and is whole after the last one.
    """
    funnel = Funnel(resolve(batches, keep))
    columns = ["clip_id", *dict.fromkeys(rule.axis for rule in funnel.rules)]
    return funnel, ((batch, funnel.add(batch)) for batch in batches(columns))


def judged(table: pl.DataFrame, keep: Keep) -> tuple[Mask, list[Entry]]:
    """Rows of `table` (columns `clip_id` and the axes) that pass all of `keep`, and the funnel's entries."""
    counted, sifted = sift(in_memory(table), keep)
    mask = np.concatenate([np.zeros(0, dtype=bool), *(part for _, part in sifted)])
    return mask, counted.entries()


def kept(table: pl.DataFrame, keep: Keep) -> Mask:
    """Rows of `table` that pass every predicate of `keep`."""
    return judged(table, keep)[0]


def funnel(table: pl.DataFrame, keep: Keep) -> list[Entry]:
    """One entry a predicate, in order: what it removes alone, and what is left for it to remove in sequence."""
    return judged(table, keep)[1]
