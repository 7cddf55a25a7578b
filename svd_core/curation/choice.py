"""Which clips of a curated folder are trained on, and which are held out. Free of torch, so that a plan can tell."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from svd_core.curation.rules import id_hash
from svd_core.curation.table import SCHEMA, check_captioned, with_windows
from svd_core.data.settings import CuratedSettings, HeldOutSettings

SAME = ("size", "num_frames", "motion")
"""Columns by which the same clip is known in two tables that name its video by unlike paths."""


def choose_clips(settings: CuratedSettings) -> pl.DataFrame:
    """The clips that are long enough. Raises ValueError if there are none or, where text is learnt, for one without
    any caption.
    """
    clips = _long_enough(Path(settings.folder), settings.frames)
    if settings.captioned:
        check_captioned(clips, Path(settings.folder))
    return clips


def choose_held_out(settings: HeldOutSettings, trained: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Some clips, drawn by a hash of their ids, one of a video, since clips of one are no independent evidence.

    Raises ValueError for too few videos, or for one that is in `trained`.
    """
    clips = one_of_a_video(Path(settings.folder), settings.frames)
    if len(clips) < settings.count:
        raise ValueError(
            f"{settings.folder} has clips of {settings.frames} frames from {len(clips)} videos; reference.count is "
            f"{settings.count}, and one clip of a video is taken"
        )
    clips = clips[: settings.count].sort("clip_id")
    for other in trained:
        seen = pl.concat([clips.join(other, on=on, how="semi") for on in (["source"], [*SAME])])["source"]
        if len(seen):
            raise ValueError(
                f"{seen.n_unique()} of {len(clips)} held-out clips of {settings.folder} come from videos that are "
                f"trained on, the first from {seen[0]!r}: that says nothing of how a run does on what it has not seen"
            )
    return clips


def one_of_a_video(folder: Path, frames: int) -> pl.DataFrame:
    """One of each video's clips of so many frames, in an order that follows from a hash of their ids.

    Raises ValueError if there are none.
    """
    clips = _long_enough(folder, frames)
    hashes = pl.Series([id_hash(clip_id, "held out") for clip_id in clips["clip_id"]])
    one = clips.with_columns(hash=hashes).sort("hash").unique("source", keep="first", maintain_order=True)
    return one.drop("hash")


def _long_enough(folder: Path, frames: int) -> pl.DataFrame:
    path = folder / "clips.parquet"
    try:
        clips = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{path}: no clip table that can be read ({error}); `ablate curate` writes one") from error
    if missing := [name for name in SCHEMA if name not in clips.columns]:
        raise ValueError(f"{path} has no column {missing[0]!r}; `ablate curate` writes all of them")
    clips = with_windows(clips)
    kept = clips.filter(pl.col("num_frames") >= frames)
    if kept.is_empty():
        raise ValueError(f"none of {len(clips)} clips of {folder} has the {frames} frames that are asked for")
    return kept
