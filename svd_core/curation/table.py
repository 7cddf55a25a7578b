"""The clip table: one row a clip, and one row for every source that was rejected, with its reason."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

CAPTIONS = ("caption_image", "caption_video", "caption")
"""Of the middle frame, of the clip, and of both merged."""
SCORES = ("motion", "text_area", "aesthetics", "alignment")
AXES = (*SCORES, "num_frames", "fps", "width", "height")
"""Columns that a predicate can bound."""

Batch = Any
"""Some rows of a table: a `pyarrow.RecordBatch`, which has no types."""
Batches = Callable[[list[str]], Iterator[Batch]]
"""Reads the given columns of a table once, from its beginning, a batch of rows at a time."""
BATCH_ROWS = 1 << 16
HELD_ROWS = 1 << 25
"""Of a table whose numbers are held (256 MiB a column): decoding them again costs more than all that is done with them.
"""

SCHEMA: dict[str, pl.DataType] = {
    "clip_id": pl.String(),
    "source": pl.String(),
    "start_s": pl.Float64(),
    "end_s": pl.Float64(),
    "start_pts": pl.Int64(),
    "end_pts": pl.Int64(),
    "time_base": pl.String(),
    "num_frames": pl.Int32(),
    "fps": pl.Float64(),
    "width": pl.Int32(),
    "height": pl.Int32(),
    **{score: pl.Float64() for score in SCORES},
    "caption_image": pl.String(),
    "caption_video": pl.String(),
    "caption": pl.String(),
    "camera_motion": pl.String(),
    "duplicate_of": pl.String(),
    "shard": pl.String(),
    "offset": pl.Int64(),
    "size": pl.Int64(),
    "error": pl.String(),
}
"""Columns of `clips.parquet`. Times are on the source's clock, `end` is exclusive, `offset` and `size` are the bytes of
the clip's .npy inside `shard`. A rejected source has only `clip_id`, `source` and `error`; a failed score is null."""

TRANSITIONS: dict[str, pl.DataType] = {"source": pl.String(), "frame": pl.Int32(), "kind": pl.String()}
"""Columns of `transitions.parquet`: `frame` is the first frame of the new shot for a cut, the middle of a fade
or dissolve otherwise."""


def write_table(table: pl.DataFrame, path: Path, *, scratch: Path, methods: dict[str, str] | None = None) -> None:
    """Write parquet that is the same to the byte for the same rows, visible only when whole.

    `scratch` is a folder on the same file system for the half-written file; `methods` (score -> how it was measured)
    go into the file's metadata.
    """
    half_written = scratch / f"{path.name}.half"
    table.write_parquet(
        half_written, compression="zstd", metadata={"methods": json.dumps(methods or {}, sort_keys=True)}
    )
    half_written.replace(path)


def read_clips(path: Path) -> pl.DataFrame:
    """Rows of `clips.parquet` that are clips (rejected sources left out). Raises FileNotFoundError."""
    return pl.read_parquet(path).filter(pl.col("error").is_null())


def with_windows(clips: pl.DataFrame) -> pl.DataFrame:
    """Rows of a clip table that have a training window; rejected sources do not."""
    return clips.filter(pl.col("error").is_null() & pl.col("shard").is_not_null())


def check_captioned(clips: pl.DataFrame, folder: Path) -> None:
    """Raise ValueError naming the first of a folder's clips that has no caption at all."""
    bare = clips.filter(pl.all_horizontal(pl.col(column).fill_null("") == "" for column in CAPTIONS))["clip_id"]
    if len(bare):
        raise ValueError(
            f"{len(bare)} of {len(clips)} clips of {folder} have no caption, the first of them {bare[0]!r}: text can "
            "be learnt from captioned clips only; `ablate curate` takes captions from NAME.txt beside a video, from a "
            "manifest or from a captioner"
        )


def any_caption(clip: Mapping[str, Any]) -> str:
    """The merged caption of a clip or, where it lacks that, another one of its."""
    return next((str(clip[column]) for column in reversed(CAPTIONS) if clip[column]), "")


def in_memory(table: pl.DataFrame) -> Batches:
    """The rows of `table`."""
    return lambda columns: iter(table.select(columns).to_arrow(compat_level=pl.CompatLevel.oldest()).to_batches())


def on_disk(path: Path) -> Batches:
    """The clips of `clips.parquet`, rejected ones left out, a few batches of 65,536 rows in memory at a time.

    Numbers are held once they were read, if the table has no more than `HELD_ROWS`; NaN stands for those that are
    missing. The next batches are decoded while one is looked at. Raises FileNotFoundError.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    file = ds.dataset(path, format="parquet")
    as_read = ds.ParquetFragmentScanOptions(pre_buffer=False)  # by default all that was read stays until the last batch
    may_hold = AXES if file.count_rows() <= HELD_ROWS else ()
    held: dict[str, list[Any]] = {}

    def read(columns: list[str]) -> Iterator[dict[str, Any]]:
        wanted = {"columns": [*columns, "error"], "batch_size": BATCH_ROWS, "batch_readahead": 4}
        for batch in file.to_batches(**wanted, fragment_scan_options=as_read):
            errors = batch.column("error")
            clips = batch if errors.null_count == batch.num_rows else batch.filter(errors.is_null())
            yield {name: _complete(clips.column(name)) for name in columns}

    def batches(columns: list[str]) -> Iterator[Batch]:
        known = {name: held[name] for name in columns if name in held}
        unknown = [name for name in columns if name not in held]
        found = read(unknown) if unknown else ({} for _ in next(iter(known.values())))
        new: dict[str, list[Any]] = {name: [] for name in unknown if name in may_hold}
        for number, batch in enumerate(found):
            for name, kept in new.items():
                kept.append(batch[name])
            batch |= {name: arrays[number] for name, arrays in known.items()}
            yield pa.RecordBatch.from_arrays([batch[name] for name in columns], names=columns)
        held.update(new)

    return batches


def _complete(column: Any) -> Any:
    """A column of floats without gaps, which numpy then reads where it lies."""
    import pyarrow.compute as pc
    import pyarrow.types as pt

    return pc.fill_null(column, float("nan")) if column.null_count and pt.is_floating(column.type) else column
