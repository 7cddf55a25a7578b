"""TransNet V2 (Souček & Lokoč 2020, arXiv 2008.04838): how likely a shot changes at each frame.

Frames of 48×27 pixels pass dilated (2+1)-D convolutions; how alike frames are, by their features and by their colour
histograms, is looked up 50 frames to either side. Windows of 100 frames step by 50; the middle 50 of each count.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

WIDTH, HEIGHT = 48, 27
WINDOW, STEP = 100, 50
FILTERS = (16, 32, 64)
DILATIONS = (1, 2, 4, 8)
LOOKUP = 101


class TransNetV2(nn.Module):
    """Logits of a shot's change for uint8 RGB frames (B, T, 27, 48, 3): (B, T)."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *(4 * filters for filters in FILTERS[:-1]))
        self.stages = nn.ModuleList(_Stage(*pair) for pair in zip(inputs, FILTERS, strict=True))
        self.similarity = _Similarity(sum(4 * filters for filters in FILTERS))
        self.histograms = _Histograms()
        self.hidden = nn.Linear(4 * FILTERS[-1] * (HEIGHT // 8) * (WIDTH // 8) + 2 * 128, 1024)
        self.middle = nn.Linear(1024, 1)
        self.anywhere = nn.Linear(1024, 1)  # trained beside it for whole transitions; its answer is not used

    @classmethod
    def load(cls, weights: Path) -> "TransNetV2":
        """The network from the safetensors file that `ablate weights fetch transnetv2` makes."""
        network = cls()
        network.load_state_dict(load_file(weights))
        return network.eval()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        x = frames.permute(0, 4, 1, 2, 3).float() / 255
        means = []
        for stage in self.stages:
            x = stage(x)
            means.append(x.mean(dim=(3, 4)))
        features = x.permute(0, 2, 3, 4, 1).flatten(2)
        x = torch.cat([self.histograms(frames), self.similarity(torch.cat(means, dim=1)), features], dim=2)
        logits: torch.Tensor = self.middle(F.relu(self.hidden(x)))[..., 0]
        return logits

    @torch.inference_mode()
    def changes(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probability (0 … 1) that a shot changes at each of all frames of a video, uint8 RGB (N, 27, 48, 3): (N,)."""
        margin = (WINDOW - STEP) // 2
        after = margin + -len(frames) % STEP
        padded = np.concatenate([frames[:1].repeat(margin, 0), frames, frames[-1:].repeat(after, 0)])
        starts = range(0, len(frames), STEP)
        windows = [torch.from_numpy(padded[start : start + WINDOW])[None] for start in starts]
        middles = [self(window)[0, margin : margin + STEP].sigmoid() for window in windows]
        return torch.cat(middles)[: len(frames)].numpy()


class _Stage(nn.Module):
    """Two blocks of dilated convolutions with a shortcut, then half the size."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([_Block(inputs, filters), _Block(4 * filters, filters)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = F.relu(self.blocks[0](x))
        return F.avg_pool3d(F.relu(self.blocks[1](first)) + first, (1, 2, 2))


class _Block(nn.Module):
    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(inputs, 2 * filters, (1, 3, 3), padding=(0, 1, 1), bias=False),
                nn.Conv3d(2 * filters, filters, (3, 1, 1), dilation=(d, 1, 1), padding=(d, 0, 0), bias=False),
            )
            for d in DILATIONS
        )
        self.bn = nn.BatchNorm3d(4 * filters, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = [convolution(x) for convolution in self.convolutions]
        together: torch.Tensor = self.bn(torch.cat(seen, dim=1))
        return together


class _Similarity(nn.Module):
    """How alike each frame's features (B, C, T) are to those of the 101 frames around it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, 128)
        self.fc = nn.Linear(LOOKUP, 128)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.relu(self.fc(_around(self.projection(features.transpose(1, 2)))))


class _Histograms(nn.Module):
    """The same of histograms of 512 colours."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(LOOKUP, 128)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        red, green, blue = (frames.long() >> 5).flatten(2, 3).unbind(dim=-1)
        colours = (red << 6) + (green << 3) + blue
        counts = torch.zeros(*colours.shape[:2], 512).scatter_add_(2, colours, torch.ones(colours.shape))
        return F.relu(self.fc(_around(counts)))


def _around(vectors: torch.Tensor) -> torch.Tensor:
    """Cosines of each vector (B, T, C) with those from 50 before to 50 after it, 0 beyond the ends: (B, T, 101)."""
    unit = F.normalize(vectors, dim=2)
    cosines = F.pad(unit @ unit.transpose(1, 2), (LOOKUP // 2, LOOKUP // 2))
    return torch.stack([row.unfold(1, LOOKUP, 1)[:, index] for index, row in enumerate(cosines.unbind(1))], dim=1)
