"""A sample grid while a phase is trained: the average network's clips for the first records, one clip a row."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torchvision.utils import make_grid

from svd_core.data.records import Record
from svd_core.data.windows import to_pixels
from svd_core.models.video_autoencoder import VideoAutoencoder
from svd_core.tasks.batches import CONDITIONS
from svd_core.tasks.generation import Conditions, solved
from svd_core.tasks.settings import GenerationSettings, Phase
from svd_core.training.draws import sample_rng


def sample_latents(
    network: nn.Module, phase: Phase, record: Record, number: int, settings: GenerationSettings, device: torch.device
) -> torch.Tensor:
    """Latents (T, C, h, w) for what a record tells of itself, nothing dropped; T is 1 for images.

    Noise is that of the record's number: grids of one phase differ in the weights only.
    """
    rng = sample_rng(phase.seed, "grid", number)
    whole = phase.model_copy(update={"text_dropout": 0.0, "image_dropout": 0.0, "latent_dropout": 0.0})
    given = CONDITIONS[phase.task](whole, record, rng)
    shape = (1, phase.frames, *record.latents.shape[1:])
    noise = torch.from_numpy(rng.standard_normal(shape, np.float32)).to(device)
    concat = None if given.concat is None else given.concat[None]
    conditions = Conditions(given.context[None], given.time_ids[None], concat).to(device)
    called = _OneFrame(network) if phase.task == "images" else network
    with torch.no_grad():
        return solved(called, conditions, noise, settings, phase)[0]


def write_grid(path: Path, latents: list[torch.Tensor], autoencoder: VideoAutoencoder) -> None:
    """Decode clips of latents (T, C, h, w) and write them as a PNG, frames from left to right."""
    frames = torch.cat([to_pixels(autoencoder.decode(clip[None])[0]).cpu() for clip in latents])
    path.parent.mkdir(exist_ok=True)
    rows = make_grid(frames, nrow=len(latents[0])).permute(1, 2, 0).numpy()
    cv2.imwrite(str(path), cv2.cvtColor(rows, cv2.COLOR_RGB2BGR))


class _OneFrame(nn.Module):
    """An image network called as a video network of one frame."""

    def __init__(self, image: nn.Module) -> None:
        super().__init__()
        self.image = image

    def forward(
        self, x: torch.Tensor, level: torch.Tensor, context: torch.Tensor, ids: torch.Tensor, **options: Any
    ) -> tuple[torch.Tensor]:
        return (self.image(x[:, 0], level, context, **options)[0][:, None],)


class Grid:
    """Writes a grid when called; every process calls it, as the network may be spread over all of them."""

    def __init__(self, phase: Phase, records: list[Record], settings: GenerationSettings, encoders: Path) -> None:
        self.phase, self.records, self.settings = phase, records, settings
        self.autoencoder = VideoAutoencoder.load(encoders)

    def __call__(self, network: nn.Module, path: Path | None, device: torch.device) -> None:
        """path: None in all processes but the first."""
        latents = [
            sample_latents(network, self.phase, record, number, self.settings, device)
            for number, record in enumerate(self.records)
        ]
        if path is not None:
            self.autoencoder.model.to(device)
            write_grid(path, latents, self.autoencoder)
