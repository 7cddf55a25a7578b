"""Parts: a few sources each, curated by one process, kept as files until all of them are there.

A part's file appears whole or not at all, so a run that was killed continues with the parts it lacks.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from svd_core.curation.aesthetics import MEASURES
from svd_core.curation.source import CuratedSource, source_id
from svd_core.curation.table import SCHEMA, TRANSITIONS

FRAMES_LOOKED_AT = 3
PART_SCHEMA = {**SCHEMA, "looks": pl.List(pl.Float64), "window": pl.Binary()}


@dataclass(frozen=True)
class Part:
    """Sources that are curated together, and the folder their result goes to."""

    index: int
    sources: tuple[Path, ...]
    folder: Path

    @property
    def clips(self) -> Path:
        return self.folder / f"{self.index:06d}.clips.parquet"

    @property
    def transitions(self) -> Path:
        return self.folder / f"{self.index:06d}.transitions.parquet"

    @property
    def done(self) -> bool:
        return self.clips.exists()

    def write(self, curated: Iterable[CuratedSource]) -> None:
        """Keep what the sources gave; the clips come last, for they say that the part is done."""
        clips: list[dict[str, object]] = []
        transitions: list[dict[str, object]] = []
        for source in curated:
            clips += _rows(source)
            transitions += [{"source": source.source, "frame": t.frame, "kind": t.kind} for t in source.transitions]
        _write(pl.DataFrame(transitions, schema=TRANSITIONS), self.transitions)
        _write(pl.DataFrame(clips, schema=PART_SCHEMA), self.clips)


def looks(table: pl.DataFrame) -> NDArray[np.float64]:
    """Raw measures of a part's clips, (clips, frames, measures)."""
    return np.array(table["looks"].to_list(), dtype=np.float64).reshape(-1, FRAMES_LOOKED_AT, len(MEASURES))


def _rows(source: CuratedSource) -> Iterator[dict[str, object]]:
    if source.error is not None:
        yield {"clip_id": source_id(source.source), "source": source.source, "error": source.error}
    for clip in source.clips:
        yield {**clip.row, "looks": clip.looks.ravel().tolist(), "window": clip.window.tobytes()}


def _write(table: pl.DataFrame, path: Path) -> None:
    half_written = path.with_suffix(f".{os.getpid()}.half")
    table.write_parquet(half_written, compression="uncompressed")
    half_written.replace(path)
