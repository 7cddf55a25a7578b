"""Clips rendered for tasks of their own, written as curation writes its clips: a clip table and shards."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.numpy import save_file

from svd_core.curation.motion import motion_score
from svd_core.data.settings import ClipsSettings
from svd_core.data.shards import Sample, write_shard
from svd_core.data.windows import to_pixels, to_unit_range
from svd_core.training.draws import sample_rng

Move = Literal["horizontal", "zoom", "static"]
MOVES: tuple[Move, ...] = ("horizontal", "zoom", "static")
FPS = 8.0
VIEW = 0.5
"""Side of the camera's view, as a share of the scene's."""
RECTANGLES = 30
"""On a wall: enough corners in every part of it for the camera's motion to be told (a toy_lvd scene has too few)."""


@dataclass(frozen=True)
class Rendered:
    """One clip: window uint8 (T, H, W, 3). Of orbits only: elevation in degrees, cameras (T, 3, 4)."""

    window: NDArray[np.uint8]
    caption: str
    fps: float
    camera_motion: str | None = None
    elevation: float | None = None
    cameras: NDArray[np.float64] | None = None


def render_clips(settings: ClipsSettings, out: Path) -> None:
    """Write `clips.parquet` and `shards/` of what `settings.render` names, and all in one for whom it is the truth:

    `clips.safetensors` with `videos` uint8 (N, T, 3, H, W) and, of orbits, their exact `cameras` (N, T, 3, 4).
    """
    rendered = {"clips": _toy_clips, "camera_moves": _camera_moves, "orbits": _orbits}
    if settings.render is None:
        raise ValueError("settings name a folder of clips, there is nothing to render")
    clips = rendered[settings.render](settings)
    write_clips({f"{settings.render}-{number:05d}": clip for number, clip in enumerate(clips)}, out)


def write_clips(named: Mapping[str, Rendered], out: Path) -> None:
    """What `render_clips` writes, of clips by their id: all of one length and size."""
    (out / "shards").mkdir(parents=True, exist_ok=True)
    clips = list(named.values())
    samples = [Sample(clip_id, clip.window, {}) for clip_id, clip in named.items()]
    ranges = write_shard(out / "shards" / "000000.tar", samples, scratch=out)
    save_file(_truth(clips), out / "clips.safetensors")
    rows = [_row(sample, clip, place) for sample, clip, place in zip(samples, clips, ranges, strict=True)]
    half_written = out / "clips.parquet.half"
    pl.DataFrame(rows, schema_overrides={"motion": pl.Float64, "error": pl.String}).write_parquet(half_written)
    half_written.replace(out / "clips.parquet")


def _truth(clips: list[Rendered]) -> dict[str, NDArray[Any]]:
    videos = np.stack([clip.window for clip in clips]).transpose(0, 1, 4, 2, 3)
    cameras = [clip.cameras for clip in clips if clip.cameras is not None]
    return {"videos": np.ascontiguousarray(videos), **({"cameras": np.stack(cameras)} if cameras else {})}


def _row(sample: Sample, clip: Rendered, place: tuple[int, int]) -> dict[str, object]:
    captions = dict.fromkeys(("caption_image", "caption_video", "caption"), clip.caption)
    facts = {"fps": clip.fps, "motion": motion_score(list(clip.window), clip.fps), "camera_motion": clip.camera_motion}
    where = {"shard": "shards/000000.tar", "offset": place[0], "size": place[1], "error": None}
    return {"clip_id": sample.clip_id, **captions, **facts, "elevation": clip.elevation, **where}


def _toy_clips(settings: ClipsSettings) -> Iterator[Rendered]:
    """Good clips of `toy_lvd`, drawn as its reference is, but for the seed."""
    from svd_core.data.toy_lvd.files import reference_windows
    from svd_core.settings import ReferenceSettings

    reference = ReferenceSettings(
        clips=settings.count, seed=settings.seed, frames=settings.frames, resolution=settings.resolution
    )
    for window, caption, fps in reference_windows(reference):
        yield Rendered(window, caption, fps)


def _camera_moves(settings: ClipsSettings) -> Iterator[Rendered]:
    """A wall of rectangles, seen by a camera that moves sideways, zooms, or stands."""
    side, frames = settings.resolution, settings.frames
    for index in range(settings.count):
        rng = sample_rng(settings.seed, "camera_moves", index)
        move = MOVES[index % len(MOVES)] if settings.move is None or settings.move == "any" else settings.move
        wall = to_unit_range(torch.from_numpy(_wall(rng, 4 * side)).permute(2, 0, 1)[None])
        grid = F.affine_grid(camera_path(move, frames, rng), [frames, 3, 2 * side, 2 * side], align_corners=False)
        views = F.avg_pool2d(F.grid_sample(wall.expand(frames, -1, -1, -1), grid, align_corners=False), 2)
        yield Rendered(to_pixels(views).permute(0, 2, 3, 1).numpy(), "a wall", FPS, move)


def _wall(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    """Rectangles of many colours, RGB (side, side, 3)."""
    colours = rng.integers(0, 256, (RECTANGLES + 1, 3)).tolist()
    wall = np.full((side, side, 3), colours[0], np.uint8)
    for colour in colours[1:]:
        centre, half = rng.uniform(0, side, 2), rng.uniform(0.05, 0.15, 2) * side
        corners = [tuple(int(value) for value in corner) for corner in (centre - half, centre + half)]
        cv2.rectangle(wall, corners[0], corners[1], colour, -1)
    return wall


def camera_path(move: Move, frames: int, rng: np.random.Generator) -> torch.Tensor:
    """Where the camera looks, frame by frame: affine maps (T, 2, 3) from its view to the scene, both in [-1, 1].

    horizontal: half a view to either side. zoom: in or out by the root of two.
    """
    time = torch.linspace(-0.5, 0.5, frames) * (1 if rng.random() < 0.5 else -1)
    size = VIEW * 2 ** (time / 2) if move == "zoom" else torch.full((frames,), VIEW)
    shift = time * VIEW if move == "horizontal" else torch.zeros(frames)
    zero = torch.zeros(frames)
    return torch.stack([torch.stack([size, zero, shift], 1), torch.stack([zero, size, zero], 1)], 1)


def _orbits(settings: ClipsSettings) -> Iterator[Rendered]:
    """Whole turns around the first objects of a split, of which none shares an object with another."""
    from svd_core.data.objects import SPLITS, render

    objects = SPLITS[settings.split]
    if settings.count > len(objects):
        raise ValueError(f"split {settings.split} has {len(objects)} objects, {settings.count} orbits are asked for")
    for number in objects[: settings.count]:
        orbit = render(f"{number:03d}", side=settings.resolution, views=settings.frames)
        yield Rendered(orbit.images, "an object", FPS, elevation=orbit.elevation, cameras=orbit.cameras)
