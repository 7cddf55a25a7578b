"""InceptionV3 of 2015-12-05, as clean-fid loads and feeds it (Parmar et al. 2022): the network of FID."""

import warnings
from pathlib import Path
from typing import Self

import numpy as np
import torch
from cleanfid.inception_torchscript import InceptionV3W
from cleanfid.resize import build_resizer
from torch import Tensor

FILE = "inception-2015-12-05.pt"


class Inception:
    """Frozen InceptionV3 up to its last pool. Build it with `load`."""

    dim = 2048

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network.eval()
        self.resize = build_resizer("clean")

    @classmethod
    def load(cls, path: Path) -> Self:
        """
        From the TorchScript file, whose digest the caller has checked (see `svd_core.encoders.weights.locate`).

        clean-fid insists on the file's original name.
        """
        if path.name != FILE:
            raise ValueError(f"clean-fid reads a file named {FILE}, got {path}")
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "`torch.jit.load` is", FutureWarning
            )  # there is no other form of the file
            return cls(InceptionV3W(str(path.parent), download=False, resize_inside=False))

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
        resized = np.stack([self.resize(picture) for picture in pictures])
        pooled: Tensor = self.network(torch.from_numpy(resized).permute(0, 3, 1, 2).to(images.device))
        return pooled.float()
