"""Curated folders as a spec's data: a view of one to train on, and some clips of another to compare with."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from svd_core.curation.rules import id_hash
from svd_core.curation.table import write_table
from svd_core.data.latents import CAPTIONS
from svd_core.data.rendered import Rendered, write_clips
from svd_core.data.windows import ELSEWHERE, read_clip_table, read_windows, resized, to_pixels, to_unit_range
from svd_core.tasks.settings import CuratedSettings, HeldOutSettings


def view_clips(settings: CuratedSettings, out: Path) -> None:
    """Write `clips.parquet`, the clips that are long enough, and where their shards lie. No clip is copied.

    Raises ValueError if none is left or, where text is learnt, for clips without any caption.
    """
    folder = Path(settings.folder)
    clips = _long_enough(folder, settings.frames)
    if settings.captioned:
        bare = clips.filter(pl.all_horizontal(pl.col(name).fill_null("") == "" for name in CAPTIONS))["clip_id"]
        if len(bare):
            raise ValueError(f"{len(bare)} of {len(clips)} clips of {folder} have no caption, first {bare[0]!r}")
    (out / ELSEWHERE).write_text(json.dumps({"shards": str(folder / "shards")}) + "\n")
    write_table(clips, out / "clips.parquet", scratch=out)


def hold_out(settings: HeldOutSettings, trained: Sequence[Path], out: Path) -> None:
    """Write the first frames of some clips, as `render_clips` writes what it renders.

    They are drawn by a hash of their ids, one of a video, since clips of one are no independent evidence. trained:
    views of what is trained on. Raises ValueError for too few videos, or for one that is in `trained`.
    """
    folder, size = Path(settings.folder), (settings.resolution, settings.resolution)
    clips = _long_enough(folder, settings.frames)
    hashes = [id_hash(clip_id, "held out") for clip_id in clips["clip_id"]]
    clips = clips.with_columns(hash=pl.Series(hashes)).sort("hash").unique("source", keep="first", maintain_order=True)
    if len(clips) < settings.count:
        raise ValueError(
            f"{folder} has clips of {settings.frames} frames from {len(clips)} videos; reference.count is "
            f"{settings.count}, and one clip of a video is taken"
        )
    clips = clips[: settings.count].sort("clip_id")
    for other in trained:
        seen = clips.filter(pl.col("source").is_in(pl.read_parquet(other / "clips.parquet")["source"].implode()))
        if len(seen):
            raise ValueError(
                f"{len(seen)} of {len(clips)} clips of {folder} come from videos that are trained on, the first from "
                f"{seen['source'][0]!r}: what a run has learnt says nothing of how it does on what it has not seen"
            )
    windows = read_windows(folder, clips, batch_size=1, frames=settings.frames)
    kept = {}
    for row, (window,) in zip(clips.iter_rows(named=True), windows, strict=True):
        pixels = to_pixels(resized(to_unit_range(window), size)).permute(0, 2, 3, 1).numpy()
        caption = next((row[name] for name in reversed(CAPTIONS) if row[name]), "")
        kept[row["clip_id"]] = Rendered(pixels, caption, row["fps"], row["camera_motion"])
    write_clips(kept, out)


def _long_enough(folder: Path, frames: int) -> pl.DataFrame:
    clips = read_clip_table(folder)
    kept = clips.filter(pl.col("num_frames") >= frames)
    if kept.is_empty():
        raise ValueError(f"none of {len(clips)} clips of {folder} has the {frames} frames that are asked for")
    return kept
