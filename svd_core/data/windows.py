"""Reading the training windows of a clip table out of its shards, in the table's order."""

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import torch
import torch.nn.functional as F

from svd_core.curation.table import with_windows
from svd_core.data.shards import read_window


def read_clip_table(curated: Path, clip_ids: pl.Series | None = None) -> pl.DataFrame:
    """Rows of `clips.parquet` that have a training window (rejected sources do not), or those of `clip_ids` alone."""
    clips = with_windows(pl.read_parquet(curated / "clips.parquet"))
    if clips.is_empty():
        raise ValueError(f"{curated / 'clips.parquet'}: no clip has a training window; nothing to train on")
    return clips if clip_ids is None else clips.filter(pl.col("clip_id").is_in(clip_ids.implode()))


ELSEWHERE = "elsewhere.json"
"""File of a clip folder that is a view: where its shards lie."""


def shards_of(clips: Path) -> Path:
    """The folder with the shards of a clip folder. Raises FileNotFoundError for a view of what is no longer there."""
    view = clips / ELSEWHERE
    shards = Path(json.loads(view.read_text())["shards"]) if view.is_file() else clips / "shards"
    if not shards.is_dir():
        raise FileNotFoundError(f"{shards}: the shards that {clips / 'clips.parquet'} names are not there")
    return shards


def read_windows(
    curated: Path, clips: pl.DataFrame, *, batch_size: int, frames: int | None = None
) -> Iterator[torch.Tensor]:
    """Yield uint8 (batch, T, 3, H, W), in the order of `clips`: of each its first `frames`, by default all.

    All windows of a batch must be of one size.
    """
    places, shards = list(clips.select("shard", "offset", "size").iter_rows()), shards_of(curated)
    for start in range(0, len(places), batch_size):
        windows = [
            torch.from_numpy(read_window(shards / Path(shard).name, offset, size, frames))
            for shard, offset, size in places[start : start + batch_size]
        ]
        yield torch.stack(windows).permute(0, 1, 4, 2, 3)


def to_unit_range(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels, uint8 0..255, to float32 -1..1."""
    return pixels.float() / 127.5 - 1


def to_pixels(values: torch.Tensor) -> torch.Tensor:
    """Values in -1..1 (clipped) to uint8 0..255."""
    return ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def resized(images: torch.Tensor, resolution: tuple[int, int]) -> torch.Tensor:
    """Images (N, 3, H, W) scaled with antialiasing to cover `resolution` (height, width), then cut to its centre."""
    height, width = resolution
    scale = max(height / images.shape[-2], width / images.shape[-1])
    size = [max(height, round(images.shape[-2] * scale)), max(width, round(images.shape[-1] * scale))]
    if size != list(images.shape[-2:]):
        images = F.interpolate(images, size, mode="bilinear", antialias=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return images[..., top : top + height, left : left + width]
