"""Motion dies after fine-tuning, users of public code complain: on mostly still clips it must come when asked for."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_recipes import PHASE
from torch import nn

from svd_core.data.records import Record
from svd_core.tasks.batches import batch_of
from svd_core.tasks.grid import sample_latents
from svd_core.tasks.settings import GenerationSettings, Phase
from svd_core.training.draws import row_of_sample
from svd_core.training.loop import train
from svd_core.training.objectives import objective_of
from svd_core.training.state import TrainingState

FRAMES, TURN, MOVING, CLIPS = 4, 0.8, 20, 200
SETTINGS = GenerationSettings(steps=30, sigma_min=0.01, sigma_max=80.0, guidance="constant", guidance_max=1.0)


class Clips(list[Record]):
    """Points on a circle of unit variance. One clip in ten turns, the rest stand still, and motion scores say which."""

    def __init__(self) -> None:
        super().__init__(self._clip(number) for number in range(CLIPS))

    def _clip(self, number: int) -> Record:
        turn = TURN if number < MOVING else 0.0
        angles = 2 * math.pi * number * 0.618 + turn * torch.arange(FRAMES)
        latents = math.sqrt(2) * torch.stack([angles.cos(), angles.sin()], 1)[:, :, None, None]
        none = torch.zeros(1, 1)
        motion = 4.0 if turn else 0.0
        return Record(latents, none, none, latents[:1], torch.tensor([0.05]), f"clip{number}", 8.0, motion, None)

    def of_samples(self, seed: int, samples: range) -> Iterator[Record]:
        return (self[row_of_sample(seed, index, len(self))] for index in samples)


class SmallNetwork(nn.Module):
    """Reads what the UNet reads: noisy and condition latents, noise level, and the numbers about the clip."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        ends = nn.Linear(FRAMES * 4 + 2, 128), nn.Linear(128, FRAMES * 2)
        self.layers = nn.Sequential(ends[0], nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), ends[1])

    def forward(
        self, x: torch.Tensor, level: torch.Tensor, text: torch.Tensor, ids: torch.Tensor, return_dict: bool
    ) -> tuple[torch.Tensor]:
        told = torch.cat([x.flatten(1), level[:, None], ids[:, 1:2] / 255], 1)
        return (self.layers(told).reshape(len(x), FRAMES, 2, 1, 1),)


def motion(clip: torch.Tensor) -> float:
    return clip.diff(dim=0).square().sum((1, 2, 3)).mean().sqrt().item()


@pytest.mark.slow
def test_a_network_fine_tuned_on_mostly_still_clips_still_moves_when_asked(tmp_path: Path) -> None:
    changes = {"name": "tuned", "task": "image_to_video", "frames": FRAMES, "steps": 900, "batch_size": 32, "lr": 3e-3}
    phase = Phase(**{**PHASE, "resolution": (1, 1), **changes, "p_mean": 0.0, "p_std": 1.5, "ema": 0.99})
    clips, network = Clips(), SmallNetwork()
    state = TrainingState.start(network, lr=phase.lr, weight_decay=0.0)
    objective = objective_of("continuous", None, video=True)
    train(phase, state, objective, lambda samples: batch_of(phase, clips, samples, None), tmp_path)  # type: ignore[arg-type]
    with state.averaged():
        made = {
            number: motion(sample_latents(network, phase, clips[number], number, SETTINGS, torch.device("cpu")))
            for number in (*range(8), *range(MOVING, MOVING + 8))
        }
    moving, still = (sum(made[n] for n in numbers) / 8 for numbers in (range(8), range(MOVING, MOVING + 8)))
    asked = motion(clips[0].latents)
    assert 0.8 * asked < moving < 1.2 * asked
    assert still < 0.35 * asked, "or it moves whatever is asked"
