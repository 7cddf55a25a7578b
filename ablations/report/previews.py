"""Clips as small looping previews: one sheet of frames each, inside the page."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from svd_core.curation.views import View
from svd_core.data.shards import read_window

HEIGHT = 96
"""Pixels of a preview; smaller frames keep their size."""
QUALITY = 70


@dataclass(frozen=True)
class Sheet:
    """Frames side by side as a data URL, `key` to name it in the page."""

    key: str
    url: str
    frames: int
    width: int
    height: int


def sheets(folder: Path, clips: list[dict[str, Any]]) -> dict[str, Sheet]:
    """A sheet by clip id for each of the table's `clips` of which frames were kept.

    Frames are those kept beside the clip's shard, else the training window in it. Raises ValueError for a
    shard outside of `folder`.
    """
    found: dict[str, Sheet] = {}
    for clip in clips:
        frames = _kept(folder, clip)
        if frames:
            found[clip["clip_id"]] = _sheet(f"c{len(found)}", frames)
    return found


def _kept(folder: Path, clip: dict[str, Any]) -> list[NDArray[np.uint8]]:
    if clip["shard"] is None:
        return []
    shard = (folder / clip["shard"]).resolve()
    if not shard.is_relative_to(folder.resolve()):
        raise ValueError(f"clip {clip['clip_id']!r}: its shard {clip['shard']!r} lies outside of {folder}")
    kept = shard.with_suffix(".frames.parquet")
    if kept.exists():
        rows = pl.scan_parquet(kept).filter(pl.col("clip_id") == clip["clip_id"]).select("frames").collect()
        return View.from_bytes(rows["frames"][0]).images() if rows.height else []
    return list(read_window(shard, clip["offset"], clip["size"])) if shard.exists() else []


def _sheet(key: str, frames: list[NDArray[np.uint8]]) -> Sheet:
    height, width = frames[0].shape[:2]
    scale = min(1.0, HEIGHT / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX)) for frame in frames]
    content = io.BytesIO()
    Image.fromarray(np.concatenate(small, axis=1)).save(content, "WEBP", quality=QUALITY, method=4)
    url = f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
    return Sheet(key, url, len(frames), *size)
