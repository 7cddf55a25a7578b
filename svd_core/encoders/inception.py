"""InceptionV3 of 2015-12-05, fed as clean-fid feeds it (Parmar et al. 2022): the network of FID."""

from pathlib import Path
from typing import Self

import numpy as np
import torch
from cleanfid.resize import build_resizer
from safetensors.torch import load_file
from torch import Tensor

from svd_core.encoders.inception_v3 import InceptionV3


class Inception:
    """Frozen InceptionV3 up to its last pool. Build it with `load`."""

    dim = 2048

    def __init__(self, network: InceptionV3) -> None:
        self.network = network.eval()
        self.resize = build_resizer("clean")

    @classmethod
    def load(cls, path: Path) -> Self:
        """From the cached safetensors file (see `svd_core.encoders.weights`)."""
        return cls(InceptionV3(load_file(path)))

    def to(self, device: torch.device) -> Self:
        """Move the network; resizing stays on the CPU, as clean-fid does it."""
        self.network.to(device)
        return self

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Pooled activations (N, 2048) of float images (N, 3, H, W) in [0, 1], resized by clean-fid to 299 x 299."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"Inception needs images (N, 3, H, W), got {tuple(images.shape)}")
        pictures = (images * 255).permute(0, 2, 3, 1).cpu().numpy()
        resized = torch.from_numpy(np.stack([self.resize(picture) for picture in pictures])).permute(0, 3, 1, 2)
        pooled: Tensor = self.network((resized.to(images.device) - 128) / 128)
        return pooled
