"""
InceptionV3 of 2015-12-05 (Szegedy et al. 2016; TensorFlow's file, of which FID is made), up to its last pool.

Names are those of NVIDIA's TorchScript, numbers of channels those of the weights. It is not torchvision's network:
averages leave out the padding, and the last block takes a maximum.
"""

from collections import OrderedDict
from collections.abc import Mapping
from itertools import count, takewhile

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Weights = Mapping[str, Tensor]


class InceptionV3(nn.Module):
    """Of `weights` named `layers.<unit>.weight`, `.beta`, `.mean` and `.var`; KeyError where one is missing."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        stem = "layers."
        parts: list[tuple[str, nn.Module]] = [
            ("conv", Unit(weights, stem + "conv", stride=2, valid=True)),
            ("conv_1", Unit(weights, stem + "conv_1", valid=True)),
            ("conv_2", Unit(weights, stem + "conv_2")),
            ("pool", nn.MaxPool2d(3, 2)),
            ("conv_3", Unit(weights, stem + "conv_3")),
            ("conv_4", Unit(weights, stem + "conv_4", valid=True)),
            ("pool_1", nn.MaxPool2d(3, 2)),
        ]
        for number in range(9):
            name = f"mixed_{number}" if number else "mixed"
            parts.append((name, Mixed(weights, stem + name, shrink=number in (3, 8))))
        parts.append(("mixed_9", Last(weights, stem + "mixed_9", nn.AvgPool2d(3, 1, 1, count_include_pad=False))))
        parts.append(("mixed_10", Last(weights, stem + "mixed_10", nn.MaxPool2d(3, 1, 1))))
        self.layers = nn.Sequential(OrderedDict(parts))

    def forward(self, images: Tensor) -> Tensor:
        """Pooled activations (N, 2048) of images (N, 3, 299, 299) in [-1, 1]."""
        return torch.as_tensor(self.layers(images).mean((2, 3)))


class Unit(nn.Module):
    """A convolution, BatchNorm without a scale (epsilon 1e-3) and ReLU; padded as "SAME" unless `valid`."""

    def __init__(self, weights: Weights, name: str, stride: int = 1, *, valid: bool = False) -> None:
        super().__init__()
        self.weight, self.beta = nn.Buffer(weights[f"{name}.weight"]), nn.Buffer(weights[f"{name}.beta"])
        self.mean, self.var = nn.Buffer(weights[f"{name}.mean"]), nn.Buffer(weights[f"{name}.var"])
        height, width = self.weight.shape[2:]
        self.stride, self.padding = stride, (0, 0) if valid else (height // 2, width // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        y = F.conv2d(x, self.weight, None, self.stride, self.padding)
        return F.batch_norm(y, self.mean, self.var, None, self.beta, eps=1e-3).relu_()


class Tower(nn.Sequential):
    """Units `conv`, `conv_1`, … in a row, as many as the weights have; to `shrink`, the last halves the side."""

    def __init__(self, weights: Weights, name: str, *, shrink: bool, pool: nn.Module | None = None) -> None:
        names = ["conv", *(f"conv_{number}" for number in _while_there(weights, f"{name}.conv_"))]
        units: list[tuple[str, nn.Module]] = [("pool", pool)] if pool else []
        for unit in names:
            smaller = shrink and unit == names[-1]
            units.append((unit, Unit(weights, f"{name}.{unit}", stride=1 + smaller, valid=smaller)))
        super().__init__(OrderedDict(units))


def _while_there(weights: Weights, prefix: str) -> list[int]:
    return list(takewhile(lambda number: f"{prefix}{number}.weight" in weights, count(1)))


class Mixed(nn.Module):
    """Branches side by side: a convolution (not in block 8), towers, and a pool, alone where they `shrink`."""

    def __init__(self, weights: Weights, name: str, *, shrink: bool) -> None:
        super().__init__()
        if f"{name}.conv.weight" in weights:
            self.conv = Unit(weights, f"{name}.conv", stride=1 + shrink, valid=shrink)
        self.tower = Tower(weights, f"{name}.tower", shrink=shrink)
        if f"{name}.tower_1.conv.weight" in weights:
            self.tower_1 = Tower(weights, f"{name}.tower_1", shrink=shrink)
        if shrink:
            self.pool = nn.MaxPool2d(3, 2)
        else:
            mean = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
            self.tower_2 = Tower(weights, f"{name}.tower_2", shrink=False, pool=mean)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        return torch.cat([branch(x) for branch in self.children()], 1)


class Last(nn.Module):
    """The block whose towers split into 1 x 3 and 3 x 1 at their ends."""

    def __init__(self, weights: Weights, name: str, pool: nn.Module) -> None:
        super().__init__()
        self.conv = Unit(weights, f"{name}.conv")
        self.tower_conv = Unit(weights, f"{name}.tower_conv")
        self.tower_mixed_conv = Unit(weights, f"{name}.tower_mixed_conv")
        self.tower_mixed_conv_1 = Unit(weights, f"{name}.tower_mixed_conv_1")
        self.tower_1_conv = Unit(weights, f"{name}.tower_1_conv")
        self.tower_1_conv_1 = Unit(weights, f"{name}.tower_1_conv_1")
        self.tower_1_mixed_conv = Unit(weights, f"{name}.tower_1_mixed_conv")
        self.tower_1_mixed_conv_1 = Unit(weights, f"{name}.tower_1_mixed_conv_1")
        self.tower_2_conv = Unit(weights, f"{name}.tower_2_conv")
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H, W)."""
        a, b = self.tower_conv(x), self.tower_1_conv_1(self.tower_1_conv(x))
        branches = [self.conv(x), self.tower_mixed_conv(a), self.tower_mixed_conv_1(a)]
        branches += [self.tower_1_mixed_conv(b), self.tower_1_mixed_conv_1(b), self.tower_2_conv(self.pool(x))]
        return torch.cat(branches, 1)
