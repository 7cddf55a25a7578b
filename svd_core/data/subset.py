"""A subset: a view of the clip table. It names clips and never copies one."""

import json
from pathlib import Path

import numpy as np
import polars as pl

from svd_core.curation.filters import Entry, judged, sift
from svd_core.curation.rules import NoScore, id_hash
from svd_core.curation.settings import Keep, SubsetSettings
from svd_core.curation.table import on_disk, read_clips, write_table
from svd_core.files import write_whole


def make_subset(settings: SubsetSettings, curated: Path, out: Path) -> None:
    """Write `subset.parquet` (`clip_id`, in the table's order) and `funnel.json` under `out`.

    Raises ValueError as `choose_subset`.
    """
    clips = read_clips(curated / "clips.parquet")
    subset, entries = choose_subset(settings, clips)
    write_table(subset, out / "subset.parquet", scratch=out)
    _write_funnel({"clips": clips.height, "kept": subset.height, "steps": entries}, out)


def choose_subset(settings: SubsetSettings, clips: pl.DataFrame) -> tuple[pl.DataFrame, list[Entry]]:
    """The ids of a subset (`clip_id`, in the table's order), and the funnel's entries.

    `settings.sample` draws, without replacement, as many of the kept clips as another predicate keeps: the control
    that separates quality from size. Drawn by a hash of (seed, clip id), it knows neither rows nor scores. Raises
    ValueError when nothing is kept, or fewer clips than the sample needs.
    """
    mask, entries = judged(clips, settings.keep)
    if not mask.any():
        raise ValueError(f"keep: {_why_none(clips.height, entries)}")
    subset = clips.filter(pl.Series(mask, dtype=pl.Boolean)).select("clip_id")
    if settings.sample is None:
        return subset, entries
    drawn, entry = _sample(subset, clips, settings.sample.match, settings.seed)
    return drawn, [*entries, entry]


def _why_none(clips: int, entries: list[Entry]) -> str:
    """The predicate that removes the last clip."""
    last = next((entry for entry in entries if not entry["remaining"]), None)
    if last is None:
        return "there is no clip"
    if last["predicate"] == NoScore.predicate and last["removed_alone"] == clips:
        return f"none of {clips} clips has a score of {last['axis']}; `ablate curate` measures what it is asked for"
    return f"none of {clips} clips is left by {last['axis']} ({last['predicate']})"


def write_subset(keep: Keep, table: Path, out: Path) -> dict[str, object]:
    """As `make_subset` without a sample, for a clip table of any size: its rows are read in batches and never held.

    Returns what is in `funnel.json`. Raises ValueError when nothing is kept.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    counted, sifted = sift(on_disk(table), keep)
    half_written = out / "subset.parquet.half"
    schema = pa.schema([("clip_id", pa.large_string())])
    with pq.ParquetWriter(
        half_written, schema, compression="zstd", use_dictionary=False
    ) as writer:  # no id comes twice
        for batch, mask in sifted:
            bits = pa.py_buffer(np.packbits(mask, bitorder="little"))  # pa.array of a numpy array imports pandas
            ids = batch.column("clip_id").filter(pa.Array.from_buffers(pa.bool_(), mask.size, [None, bits]))
            writer.write_batch(pa.record_batch({"clip_id": ids.cast(pa.large_string())}))
    if not counted.kept:
        half_written.unlink()
        raise ValueError(f"keep: {_why_none(counted.clips, counted.entries())}")
    half_written.replace(out / "subset.parquet")
    report: dict[str, object] = {"clips": counted.clips, "kept": counted.kept, "steps": counted.entries()}
    _write_funnel(report, out)
    return report


def _write_funnel(report: dict[str, object], out: Path) -> None:
    """`funnel.json` comes last: it says that the subset is there."""
    write_whole(out / "funnel.json", json.dumps(report, indent=1) + "\n")


def read_subset(path: Path) -> list[str]:
    """Clip ids of a subset artifact, in the table's order."""
    return pl.read_parquet(path / "subset.parquet")["clip_id"].to_list()


def _sample(subset: pl.DataFrame, clips: pl.DataFrame, match: Keep, seed: int) -> tuple[pl.DataFrame, Entry]:
    matched, entries = judged(clips, match)
    size = int(matched.sum())
    if not size:
        raise ValueError(f"sample.match: {_why_none(clips.height, entries)}")
    if size > subset.height:
        raise ValueError(f"sample.match keeps {size} clips, but only {subset.height} pass `keep` to draw them from")
    drawn = sorted(subset["clip_id"], key=lambda clip_id: id_hash(clip_id, f"sample-{seed}"))[:size]
    removed = subset.height - size
    entry: Entry = {
        "axis": "sample",
        "predicate": f"random, seed {seed}, as many as the matched predicate keeps",
        "threshold": None,
        "removed_alone": clips.height - size,
        "removed_in_sequence": removed,
        "remaining": size,
    }
    return subset.filter(pl.col("clip_id").is_in(drawn)), entry
