"""Clips rendered for tasks of their own, written as curation writes its clips: a clip table and shards."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from svd_core.curation.motion import motion_score
from svd_core.data.shards import Sample, write_shard
from svd_core.data.toy_lvd.pairs import image_pairs
from svd_core.data.windows import to_pixels, to_unit_range
from svd_core.tasks.settings import ClipsSettings
from svd_core.training.draws import sample_rng

Move = Literal["horizontal", "zoom", "static"]
FPS = 8.0
VIEW = 0.5
"""Side of the camera's view, as a share of the scene's."""


@dataclass(frozen=True)
class Rendered:
    """One clip: window uint8 (T, H, W, 3). elevation in degrees, of orbits only."""

    window: NDArray[np.uint8]
    caption: str
    fps: float
    camera_motion: str | None = None
    elevation: float | None = None


def render_clips(settings: ClipsSettings, out: Path) -> None:
    """Write `clips.parquet` and `shards/` of what `settings.render` names."""
    rendered = {"clips": _toy_clips, "camera_moves": _camera_moves, "orbits": _orbits}
    if settings.render is None:
        raise ValueError("settings name a folder of clips, there is nothing to render")
    (out / "shards").mkdir(parents=True, exist_ok=True)
    clips = list(rendered[settings.render](settings))
    samples = [Sample(f"{settings.render}-{number:05d}", clip.window, {}) for number, clip in enumerate(clips)]
    ranges = write_shard(out / "shards" / "000000.tar", samples, scratch=out)
    rows = [_row(sample, clip, place) for sample, clip, place in zip(samples, clips, ranges, strict=True)]
    half_written = out / "clips.parquet.half"
    pl.DataFrame(rows, schema_overrides={"motion": pl.Float64, "error": pl.String}).write_parquet(half_written)
    half_written.replace(out / "clips.parquet")


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
    """A still scene of `toy_lvd`, seen by a camera that moves sideways, zooms in, or stands."""
    assert settings.move is not None  # noqa: S101  (the settings' own check)
    images, captions = image_pairs("images", range(settings.count), settings.seed, 2 * settings.resolution)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        views = camera_path(settings.move, settings.frames, sample_rng(settings.seed, "camera_moves", index))
        grid = F.affine_grid(views, [settings.frames, 3, settings.resolution, settings.resolution], align_corners=False)
        frames = F.grid_sample(to_unit_range(image).expand(settings.frames, -1, -1, -1), grid, align_corners=False)
        yield Rendered(to_pixels(frames).permute(0, 2, 3, 1).numpy(), caption, FPS, settings.move)


def camera_path(move: Move, frames: int, rng: np.random.Generator) -> torch.Tensor:
    """Where the camera looks, frame by frame: affine maps (T, 2, 3) from its view to the scene, both in [-1, 1].

    horizontal: across half of the scene, in either direction. zoom: in or out by a factor of two.
    """
    time = torch.linspace(0, 1, frames) if rng.random() < 0.5 else torch.linspace(1, 0, frames)
    size = VIEW * 2**-time * 1.5 if move == "zoom" else torch.full((frames,), VIEW)
    shift = (time - 0.5) * 2 * (1 - VIEW) if move == "horizontal" else torch.zeros(frames)
    zero = torch.zeros(frames)
    return torch.stack([torch.stack([size, zero, shift], 1), torch.stack([zero, size, zero], 1)], 1)


def _orbits(settings: ClipsSettings) -> Iterator[Rendered]:
    """Whole turns around objects; the first of their training split, not one that is tested on."""
    from svd_core.data.objects import SPLITS, render

    for number in SPLITS["train"][: settings.count]:
        orbit = render(f"{number:03d}", side=settings.resolution, views=settings.frames)
        yield Rendered(orbit.images, "an object", FPS, elevation=orbit.elevation)
