"""VGG16 (Simonyan & Zisserman 2015) trained on ImageNet, torchvision's weights: a general-purpose image feature."""

from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

SIDE = 64
"""Input side. Features at 224 px cost twelve times as much, and the features of both sets are taken alike."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""torchvision's indices of the convolutions in `vgg16().features`; a 2 x 2 max pool stands between blocks."""
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
"""The last activation of each block."""


class VGG16(nn.Module):
    """Frozen convolutional part of VGG16. Build it with `load`."""

    dim = 512

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.tensor(MEAN).view(1, 3, 1, 1))
        self.std = nn.Buffer(torch.tensor(STD).view(1, 3, 1, 1))
        self.blocks = nn.ModuleList(nn.ModuleList(_convolution(weights, index) for index in block) for block in BLOCKS)

    @classmethod
    def load(cls, path: Path) -> Self:
        """From the cached safetensors file (see `svd_core.encoders.weights`)."""
        return cls(load_file(path)).eval()

    @torch.inference_mode()
    def features(self, images: Tensor, layer: str = "relu5_3") -> Tensor:
        """Activations (N, 512) after relu5_3, averaged over the picture, of float images (N, 3, H, W) in [0, 1].

        Another layer of `LAYERS` on request. Raises ValueError for layers and shapes that there are not.

        Images are resized to 64 x 64 bilinearly (half-pixel centres, no antialiasing) and normalised as for ImageNet.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"VGG16 needs images (N, 3, H, W), got {tuple(images.shape)}")
        if layer not in LAYERS:
            raise ValueError(f"VGG16 gives no layer {layer!r}; there are {', '.join(LAYERS)}")
        x = F.interpolate(images, (SIDE, SIDE), mode="bilinear", align_corners=False)
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        for number, block in enumerate(list(self.blocks)[: LAYERS.index(layer) + 1]):
            if number:
                x = F.max_pool2d(x, 2)
            for convolution in block.children():
                x = convolution(x).relu_()
        return x.mean((2, 3))


def _convolution(weights: dict[str, Tensor], index: int) -> nn.Conv2d:
    weight, bias = weights[f"features.{index}.weight"], weights[f"features.{index}.bias"]
    convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
    convolution.load_state_dict({"weight": weight, "bias": bias})
    return convolution.to(memory_format=torch.channels_last).requires_grad_(False)
