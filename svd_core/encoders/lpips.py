"""LPIPS (Zhang et al. 2018), version 0.1: a distance between images that agrees with people better than pixels do."""

from pathlib import Path
from typing import Literal, Self

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from svd_core.encoders.vgg16 import BLOCKS

Net = Literal["alex", "vgg16"]

ALEX = ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))
"""Of AlexNet's convolutions, (torchvision's index, stride, padding); each ends a block."""
SMALLEST: dict[Net, int] = {"alex": 31, "vgg16": 16}
"""Smallest side in pixels that leaves the last block a pixel."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the channels in [-1, 1], as the authors' `ScalingLayer` has them."""


class LPIPS(nn.Module):
    """Frozen AlexNet or VGG16 with the authors' linear heads. Build it with `load`."""

    def __init__(self, net: Net, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.net: Net = net
        self.shift = nn.Buffer(torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.scale = nn.Buffer(torch.tensor(SCALE).view(1, 3, 1, 1))
        blocks = [[layer] for layer in ALEX] if net == "alex" else [[(i, 1, 1) for i in block] for block in BLOCKS]
        self.blocks = nn.ModuleList(nn.ModuleList(_convolution(weights, *layer) for layer in block) for block in blocks)
        self.heads = nn.ParameterList(
            nn.Parameter(weights[f"lin{number}.weight"], requires_grad=False) for number in range(len(blocks))
        )

    @classmethod
    def load(cls, net: Net, path: Path) -> Self:
        """From the cached safetensors file of `lpips_alex` or `lpips_vgg16` (see `svd_core.encoders.weights`)."""
        return cls(net, load_file(path)).eval()

    @torch.inference_mode()
    def distances(self, a: Tensor, b: Tensor) -> Tensor:
        """
        Distances (N,), 0 for equal images, of float images (N, 3, H, W) in [0, 1], each pair apart from the others.

        Equation 1 of the paper: squared differences of unit feature vectors, weighted by channel, averaged over the
        picture and summed over five layers. Raises ValueError for images too small for the network.
        """
        if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3:
            raise ValueError(f"LPIPS needs two equal stacks (N, 3, H, W), got {tuple(a.shape)} and {tuple(b.shape)}")
        if min(a.shape[2:]) < SMALLEST[self.net]:
            raise ValueError(f"LPIPS[{self.net}] needs sides of {SMALLEST[self.net]} pixels, got {tuple(a.shape)}")
        return torch.stack([self._distance(*pair) for pair in zip(a, b, strict=True)])

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        x = (torch.stack([a, b]) * 2 - 1 - self.shift) / self.scale
        total = x.new_zeros(())
        for number, (block, head) in enumerate(zip(self.blocks, self.heads, strict=True)):
            x = self._block(number, block, x)
            unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
            total = total + (head.view(-1, 1, 1) * (unit[0] - unit[1]).square()).sum(0).mean()
        return total

    def _block(self, number: int, block: nn.Module, x: Tensor) -> Tensor:
        if self.net == "vgg16" and number:
            x = F.max_pool2d(x, 2)
        if self.net == "alex" and number in (1, 2):
            x = F.max_pool2d(x, 3, 2)
        for convolution in block.children():
            x = convolution(x).relu_()
        return x


def _convolution(weights: dict[str, Tensor], index: int, stride: int, padding: int) -> nn.Conv2d:
    weight, bias = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
    convolution = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], stride, padding)
    convolution.load_state_dict({"weight": weight, "bias": bias})
    return convolution.requires_grad_(False)
