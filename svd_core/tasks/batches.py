"""What one training step of a task sees, drawn sample by sample from records."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from svd_core.data.latents import CAPTION_SHARES
from svd_core.data.records import Record, Records
from svd_core.diffusion import DiscreteSchedule, draw_sigma, offset_noise
from svd_core.models.conditioning import added_time_ids, motion_bucket
from svd_core.tasks.settings import Phase, Task
from svd_core.training.batches import Batch
from svd_core.training.draws import sample_rng

TIME_IDS: dict[Task, int] = {
    "images": 0,
    "text_to_video": 2,
    "image_to_video": 3,
    "frame_interpolation": 3,
    "multi_view": 5,
}
"""Values of micro-conditioning: fps - 1, motion bucket; noise strength; sine and cosine of the elevation."""


def input_channels(task: Task, latent: int) -> int:
    """Input channels of the network for latents of so many channels."""
    return {"image_to_video": 2 * latent, "multi_view": 2 * latent, "frame_interpolation": 2 * latent + 1}.get(
        task, latent
    )


@dataclass(frozen=True)
class Given:
    """What one sample is conditioned on: context (S, D), time_ids (K,), concat (T, C', h, w) where the task has one."""

    context: torch.Tensor
    time_ids: torch.Tensor
    concat: torch.Tensor | None = None


def batch_of(phase: Phase, records: Records, samples: range, schedule: DiscreteSchedule | None) -> Batch:
    """The samples of these numbers, each from its own draws: no value of one reaches another."""
    drawn = [
        _draw(phase, record, index, schedule)
        for index, record in zip(samples, records.of_samples(phase.seed, samples), strict=True)
    ]
    return Batch(
        clean=torch.stack([each.clean for each in drawn]),
        noise=torch.stack([each.noise for each in drawn]),
        sigma=torch.stack([each.sigma for each in drawn]),
        text=torch.stack([each.given.context for each in drawn]),
        time_ids=torch.stack([each.given.time_ids for each in drawn]),
        clip_ids=[each.clip_id for each in drawn],
        concat=None if drawn[0].given.concat is None else torch.stack([_present(each.given.concat) for each in drawn]),
        step=None if schedule is None else torch.stack([each.step for each in drawn]),
    )


@dataclass(frozen=True)
class _Drawn:
    clean: torch.Tensor
    noise: torch.Tensor
    sigma: torch.Tensor
    step: torch.Tensor
    given: Given
    clip_id: str


def _draw(phase: Phase, record: Record, index: int, schedule: DiscreteSchedule | None) -> _Drawn:
    """Every random choice of one sample, in one fixed order."""
    rng = sample_rng(phase.seed, phase.name, index)
    normal, level = torch.tensor(rng.standard_normal(), dtype=torch.float32), float(rng.random())
    frame = int(rng.integers(len(record.latents)))
    clean = record.latents[frame].float() if phase.task == "images" else record.latents[: phase.frames].float()
    noise = torch.from_numpy(rng.standard_normal(clean.shape, np.float32))
    if phase.offset_noise:
        offsets = torch.from_numpy(rng.standard_normal((1, clean.shape[-3]), np.float32))
        noise = offset_noise(noise[None], offsets, strength=phase.offset_noise)[0]
    if schedule is None:
        sigma, step = draw_sigma(normal, p_mean=phase.p_mean, p_std=phase.p_std), torch.tensor(0)
    else:
        step = torch.tensor(int(level * len(schedule)))
        sigma = schedule.sigmas[step].float()
    return _Drawn(clean, noise, sigma, step, CONDITIONS[phase.task](phase, record, rng), record.clip_id)


def _text(phase: Phase, record: Record, rng: np.random.Generator) -> Given:
    caption = record.text[int(rng.choice(len(CAPTION_SHARES), p=CAPTION_SHARES))].float()
    kept = rng.random() >= phase.text_dropout
    ids = _micro_conditions(record)[: TIME_IDS[phase.task]]
    return Given(caption * kept, ids)


def _first_frame(phase: Phase, record: Record, rng: np.random.Generator) -> Given:
    """The noisy first frame beside every frame, the clean one to cross-attention, and the noise's strength told."""
    number = int(rng.integers(len(record.strength)))
    keeps_image, keeps_latent = _kept(phase, rng)
    concat = record.condition[number].float().expand(phase.frames, -1, -1, -1) * keeps_latent
    ids = _micro_conditions(record, float(record.strength[number]))
    return Given(record.image[:1].float() * keeps_image, ids, concat)


def _orbit(phase: Phase, record: Record, rng: np.random.Generator) -> Given:
    given = _first_frame(phase, record, rng)
    if record.elevation is None:
        raise ValueError(f"clip {record.clip_id!r} has no elevation; task multi_view needs orbits")
    return Given(given.context, torch.cat([given.time_ids, elevation_ids(record.elevation)]), given.concat)


def _both_ends(phase: Phase, record: Record, rng: np.random.Generator) -> Given:
    """First and last latent under noise, nothing between, a mask that says so, and both pictures to cross-attention."""
    if len(record.latents) != phase.frames:
        raise ValueError(
            f"clip {record.clip_id!r} was encoded with {len(record.latents)} frames, whose last one is another picture "
            f"than that of the {phase.frames} which phase {phase.name} interpolates"
        )
    strength = float(np.exp(rng.normal(phase.strength_mean, phase.strength_std)))
    keeps_image, keeps_latent = _kept(phase, rng)
    ends = record.latents[[0, phase.frames - 1]].float()
    ends = ends + strength * torch.from_numpy(rng.standard_normal(ends.shape, np.float32))
    context = record.image.float() * keeps_image
    return Given(context, _micro_conditions(record, strength), between(ends, phase.frames) * keeps_latent)


def between(ends: torch.Tensor, frames: int) -> torch.Tensor:
    """Condition channels (T, C + 1, h, w) of interpolation between two latents (2, C, h, w): latents and mask.

    The mask is 1 where a frame is to be found; the learnt embedding takes the place of the zeros there.
    """
    _, channels, height, width = ends.shape
    concat = torch.zeros(frames, channels + 1, height, width)
    concat[0, :channels], concat[-1, :channels] = ends[0], ends[1]
    concat[1:-1, channels] = 1
    return concat


def elevation_ids(degrees: float) -> torch.Tensor:
    """Sine and cosine of a camera's elevation, (2,)."""
    return torch.tensor([math.sin(math.radians(degrees)), math.cos(math.radians(degrees))])


def _micro_conditions(record: Record, strength: float | None = None) -> torch.Tensor:
    motion = torch.tensor([math.nan if record.motion is None else record.motion])
    level = None if strength is None else torch.tensor([strength])
    return added_time_ids(torch.tensor([record.fps]), motion_bucket(motion), level)[0]


def _kept(phase: Phase, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether the image embedding and the condition latents are kept, each by its own draw."""
    return bool(rng.random() >= phase.image_dropout), bool(rng.random() >= phase.latent_dropout)


def _present(concat: torch.Tensor | None) -> torch.Tensor:
    if concat is None:
        raise ValueError("samples of one task have condition channels all or none")
    return concat


CONDITIONS: dict[Task, Callable[[Phase, Record, np.random.Generator], Given]] = {
    "images": _text,
    "text_to_video": _text,
    "image_to_video": _first_frame,
    "frame_interpolation": _both_ends,
    "multi_view": _orbit,
}
