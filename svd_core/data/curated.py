"""Curated folders as a spec's data: a view of one to train on, and some clips of another to compare with."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from svd_core.curation.choice import choose_clips, choose_held_out
from svd_core.curation.table import any_caption, write_table
from svd_core.data.rendered import Rendered, write_clips
from svd_core.data.settings import CuratedSettings, HeldOutSettings
from svd_core.data.windows import ELSEWHERE, read_windows, resized, to_pixels, to_unit_range


def view_clips(settings: CuratedSettings, out: Path) -> None:
    """Write `clips.parquet`, the clips that `choose_clips` chooses, and where their shards lie. No clip is copied."""
    clips = choose_clips(settings)
    (out / ELSEWHERE).write_text(json.dumps({"shards": str(Path(settings.folder) / "shards")}) + "\n")
    write_table(clips, out / "clips.parquet", scratch=out)


def hold_out(settings: HeldOutSettings, trained: Sequence[Path], out: Path) -> None:
    """Write the first frames of the clips that `choose_held_out` chooses, as `render_clips` writes what it renders.

    trained: views of what is trained on.
    """
    size = (settings.resolution, settings.resolution)
    clips = choose_held_out(settings, (pl.read_parquet(view / "clips.parquet") for view in trained))
    windows = read_windows(Path(settings.folder), clips, batch_size=1, frames=settings.frames)
    kept = {}
    for row, (window,) in zip(clips.iter_rows(named=True), windows, strict=True):
        pixels = to_pixels(resized(to_unit_range(window), size)).permute(0, 2, 3, 1).numpy()
        kept[row["clip_id"]] = Rendered(pixels, any_caption(row), row["fps"], row["camera_motion"])
    write_clips(kept, out)
