"""Scores of a unit's clips, from the frames that were kept of them: made anew when settings change, without decoding.

`NAME.scores.parquet` says in its metadata what it was made from. Who makes it again gives it the same bytes.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from svd_core.curation import aesthetics
from svd_core.curation.annotation import Annotator, methods
from svd_core.curation.captions import Caption
from svd_core.curation.duplicates import LENGTH, duplicates
from svd_core.curation.settings import AnnotationSettings
from svd_core.curation.table import CAPTIONS, SCHEMA
from svd_core.curation.views import View

BATCH = 16
"""Clips whose frames are in memory at once, and that are captioned together."""
ANNOTATED = ("text_area", "aesthetics", "alignment", *CAPTIONS, "duplicate_of")
"""Columns of the clip table that come from kept frames."""
SCORES_SCHEMA: dict[str, Any] = {
    "clip_id": pl.String(),
    **{name: SCHEMA[name] for name in ANNOTATED if name != "duplicate_of"},
    "looks": pl.List(pl.Float64),
    "fingerprint": pl.Binary(),
}
FRAMES_SCHEMA = pa.schema([("clip_id", pa.large_string()), ("frames", pa.large_binary())])

Row = dict[str, Any]


def write_frames(path: Path, views: dict[str, Path]) -> None:
    """Gather the kept frames of clips, each in a file of its own, in one table of `clip_id` and `frames`."""
    with pq.ParquetWriter(path, FRAMES_SCHEMA, compression="none") as writer:
        for ids in _batches(list(views)):
            frames = [views[clip_id].read_bytes() for clip_id in ids]
            writer.write_table(pa.table([ids, frames], FRAMES_SCHEMA))


def made_from(settings: AnnotationSettings, manifest: Path) -> dict[str, str]:
    """Everything that a unit's scores depend on. Raises MissingWeights for what the settings ask for."""
    unit = json.loads(manifest.read_text())
    return {**methods(settings), "settings": settings.model_dump_json(), "unit": json.dumps(unit, sort_keys=True)}


def fit(scores: Path, wanted: dict[str, str]) -> bool:
    """Whether scores are there and made from what is `wanted`."""
    try:
        return bool(json.loads(pl.read_parquet_metadata(scores)["methods"]) == wanted)
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError):
        return False


def annotate(settings: AnnotationSettings, frames: Path, clips: Path, *, beat: Callable[[], None]) -> list[Row]:
    """A row of `SCORES_SCHEMA` for each clip of a unit, from its frames and the captions given in its table."""
    annotator = _annotator(settings)
    given = {row["clip_id"]: row for row in pl.read_parquet(clips, columns=["clip_id", *CAPTIONS]).to_dicts()}
    rows: list[Row] = []
    with pq.ParquetFile(frames) as file:
        for batch in file.iter_batches(BATCH):
            ids = batch.column("clip_id").to_pylist()
            views = [View.from_bytes(content) for content in batch.column("frames").to_pylist()]
            captions = [Caption(*(given[clip_id][name] for name in CAPTIONS)) for clip_id in ids]
            annotated = annotator.annotate(views, captions)
            rows += [{"clip_id": clip_id, **row} for clip_id, row in zip(ids, annotated, strict=True)]
            beat()
    return rows


def finish(table: pl.DataFrame, settings: AnnotationSettings) -> pl.DataFrame:
    """What needs all clips at once, from rows with `looks` and `fingerprint`: aesthetics and `duplicate_of`."""
    if settings.aesthetics == "typical-looks":
        raw = table["looks"].explode().to_numpy().reshape(-1, 3, len(aesthetics.MEASURES))
        looks = aesthetics.typical_looks(raw, settings.aesthetics_over_frames)
        table = table.with_columns(pl.Series("aesthetics", looks, dtype=pl.Float64))
    originals = duplicates(_fingerprints(table), table["clip_id"].to_list())
    return table.with_columns(pl.Series("duplicate_of", originals, dtype=pl.String()))


def _fingerprints(table: pl.DataFrame) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(table["fingerprint"]), dtype=np.uint8).reshape(-1, LENGTH)


def _batches(ids: list[str]) -> Iterator[list[str]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))


@cache
def _annotator(settings: AnnotationSettings) -> Annotator:
    import torch

    torch.set_num_threads(1)  # a process is the unit of parallel work
    return Annotator.load(settings, "cuda" if torch.cuda.is_available() else "cpu")
