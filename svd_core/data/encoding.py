"""From clips to records: every frozen network runs here, once a clip, and never during training."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F

from svd_core.data.latents import CAPTIONS
from svd_core.data.records import Record
from svd_core.data.windows import read_clip_table, read_windows, to_unit_range
from svd_core.encoders.conditioners import Conditioners
from svd_core.models.video_autoencoder import VideoAutoencoder
from svd_core.progress import Progress, silent
from svd_core.tasks.settings import Phase
from svd_core.training.draws import sample_rng

SCALE_FROM = 16
"""Clips whose latents tell whether the autoencoder's scale is right."""


def encode_records(
    phase: Phase,
    clips: Path,
    autoencoder: VideoAutoencoder,
    conditioners: Conditioners,
    *,
    progress: Progress = silent,
) -> Iterator[Record]:
    """The records of a clip folder, in its order, at the phase's resolution and length.

    Phases on images keep every frame of a clip to choose from. Raises ValueError for clips with fewer frames than
    asked or a size that the autoencoder does not take, WrongLatentScale if latents are far from unit variance.
    """
    table = read_clip_table(clips)
    _check_size(phase, autoencoder.factor)
    first: list[torch.Tensor] = []
    for number, row in enumerate(table.iter_rows(named=True)):
        pixels = next(read_windows(clips, table[number : number + 1], batch_size=1))[0]
        frames = len(pixels) if phase.task == "images" else phase.frames
        if len(pixels) < frames:
            raise ValueError(f"clip {row['clip_id']!r} has {len(pixels)} frames; phase {phase.name} asks for {frames}")
        images = resized(to_unit_range(pixels[:frames]), phase.resolution)
        means = autoencoder.encode(images)
        if number < SCALE_FROM:
            first.append(means)
        if number == min(SCALE_FROM, len(table)) - 1:
            autoencoder.check_scale(torch.cat(first))
        condition, strength = _noisy_first_frames(phase, number, images[:1], autoencoder)
        yield Record(
            latents=means * autoencoder.scale,
            text=_captions(conditioners, row),
            image=conditioners.image.encode(images[[0, -1]]),
            condition=condition,
            strength=strength,
            clip_id=row["clip_id"],
            fps=row["fps"],
            motion=row["motion"],
            elevation=row.get("elevation"),
        )
        progress(number + 1, len(table))


def resized(images: torch.Tensor, resolution: tuple[int, int]) -> torch.Tensor:
    """Images (N, 3, H, W) scaled with antialiasing to cover `resolution` (height, width), then cut to its centre."""
    height, width = resolution
    scale = max(height / images.shape[-2], width / images.shape[-1])
    size = [max(height, round(images.shape[-2] * scale)), max(width, round(images.shape[-1] * scale))]
    if size != list(images.shape[-2:]):
        images = F.interpolate(images, size, mode="bilinear", antialias=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return images[..., top : top + height, left : left + width]


def _noisy_first_frames(
    phase: Phase, number: int, frame: torch.Tensor, autoencoder: VideoAutoencoder
) -> tuple[torch.Tensor, torch.Tensor]:
    """Encoder means, not scaled, of the first frame under pixel noise, and its strengths: ln s ~ N(mean, std^2).

    Several a clip, drawn once: training takes one of them at random, and the encoder never runs there.
    """
    draws = phase.strength_draws if phase.task in ("image_to_video", "multi_view") else 0
    rng = sample_rng(phase.seed, "noise_strength", number)
    strength = torch.from_numpy(np.exp(rng.normal(phase.strength_mean, phase.strength_std, draws)).astype(np.float32))
    noise = torch.from_numpy(rng.standard_normal((draws, *frame.shape[1:]), np.float32))
    if not draws:
        height, width = (side // autoencoder.factor for side in frame.shape[-2:])
        return torch.zeros(0, autoencoder.model.config.latent_channels, height, width), strength
    return autoencoder.encode(frame + strength[:, None, None, None] * noise), strength


def _captions(conditioners: Conditioners, row: dict[str, object]) -> torch.Tensor:
    return conditioners.encode_text([str(row[column] or "") for column in CAPTIONS])


def _check_size(phase: Phase, factor: int) -> None:
    if any(side % factor for side in phase.resolution):
        raise ValueError(
            f"phase {phase.name}: resolution {list(phase.resolution)} must be multiples of {factor}, the pixels a "
            f"latent; nearest: {[max(1, round(side / factor)) * factor for side in phase.resolution]}"
        )


def read_subset_ids(folder: str | None) -> list[str] | None:
    """Clip ids of a subset's folder; None for all clips."""
    return None if folder is None else pl.read_parquet(Path(folder) / "subset.parquet")["clip_id"].to_list()
