"""What one training step sees, drawn sample by sample."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from svd_core.data.latents import CAPTION_SHARES, EncodedClips
from svd_core.diffusion import DiscreteSchedule, draw_sigma
from svd_core.models.conditioning import added_time_ids, motion_bucket
from svd_core.settings import Objective, TrainingSettings
from svd_core.training.draws import row_of_sample, sample_rng

Stage = Literal["pretrain_images", "pretrain_videos", "finetune"]


@dataclass(frozen=True)
class Batch:
    """A batch of B clips, or of single frames.

    clean, noise: (B, T, C, h, w), without T for frames. sigma: (B,). text: (B, S, D), zero where dropped.
    time_ids: (B, K), such as fps - 1 and motion bucket. concat: further input channels (B, T, C', h, w), where a task
    has them. step: int64 (B,), under a discrete schedule.
    """

    clean: torch.Tensor
    noise: torch.Tensor
    sigma: torch.Tensor
    text: torch.Tensor
    time_ids: torch.Tensor
    clip_ids: list[str]
    concat: torch.Tensor | None = None
    step: torch.Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, torch.Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class Draw:
    """The random choices of one sample. Every stage makes all of them in one order, so that seeds pair arms."""

    normal: float
    caption: int
    drops_text: bool
    frame: int
    noise: torch.Tensor


def draw(settings: TrainingSettings, stage: Stage, index: int, shape: tuple[int, ...]) -> Draw:
    """Choices of sample `index`, whose clip has latents of `shape` (T, C, h, w)."""
    rng = sample_rng(settings.seed, stage, index)
    normal = float(rng.standard_normal())
    caption = int(rng.choice(len(CAPTION_SHARES), p=settings.caption_shares or CAPTION_SHARES))
    drops_text = bool(rng.random() < settings.text_dropout)
    frame = int(rng.integers(shape[0]))
    noise = rng.standard_normal(shape[1:] if stage == "pretrain_images" else shape, np.float32)
    return Draw(normal, caption, drops_text, frame, torch.from_numpy(noise))


def schedule_of(objective: Objective, log_snr_shift: float = 0.0) -> DiscreteSchedule | None:
    """Stable Diffusion's schedule with its log SNR shifted; None where noise levels are continuous."""
    if objective == "continuous":
        return None
    schedule = DiscreteSchedule.stable_diffusion()
    return schedule.shifted(math.exp(log_snr_shift / 2), 1) if log_snr_shift else schedule


def uniform_step(normal: torch.Tensor, steps: int) -> torch.Tensor:
    """The step 0 .. steps - 1, each equally likely, that standard normal draws stand for: larger ones for more noise.

    The same draw gives noise levels of equal rank under every objective, which pairs arms.
    """
    share: torch.Tensor = torch.special.ndtr(normal.double())
    return (share * steps).long().clamp(max=steps - 1)


def draw_batch(settings: TrainingSettings, stage: Stage, clips: EncodedClips, samples: range) -> Batch:
    """The samples of these numbers, counted from the start of training."""
    rows = [row_of_sample(settings.seed, index, len(clips)) for index in samples]
    draws = [draw(settings, stage, index, tuple(clips.latents.shape[1:])) for index in samples]
    text = torch.stack([clips.text[row, drawn.caption] for row, drawn in zip(rows, draws, strict=True)]).float()
    text[torch.tensor([drawn.drops_text for drawn in draws])] = 0
    if stage == "pretrain_images":
        clean = torch.stack([clips.latents[row, drawn.frame] for row, drawn in zip(rows, draws, strict=True)])
    else:
        clean = clips.latents[torch.tensor(rows)]
    normal = torch.tensor([drawn.normal for drawn in draws])
    schedule = schedule_of(settings.objective, settings.log_snr_shift)
    step = None if schedule is None else uniform_step(normal, len(schedule))
    return Batch(
        clean=clean.float(),
        noise=torch.stack([drawn.noise for drawn in draws]),
        sigma=draw_sigma(normal, p_mean=settings.p_mean, p_std=settings.p_std)
        if schedule is None
        else schedule.sigmas[step].float(),
        text=text,
        time_ids=added_time_ids(clips.fps[rows], motion_bucket(clips.motion[rows])),
        clip_ids=[clips.clip_ids[row] for row in rows],
        step=step,
    )
