"""
The TorchScript I3D of StyleGAN-V (Skorokhodov et al. 2022) and its successors: for values to set beside theirs.

PyTorch copies of I3D differ slightly from the original, which `svd_core.encoders.i3d` reproduces (all-zero against
all-one videos of 30 frames: 151.256 against 151.392), so theirs has a name of its own.
"""

import warnings
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from svd_core.encoders.i3d import MIN_FRAMES, SIDE


class I3DTorchScript:
    """Frozen TorchScript I3D. Build it with `load`."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network.eval()

    @classmethod
    def load(cls, path: Path) -> Self:
        """
        From `i3d_torchscript.pt`, whose digest the caller has checked (see `svd_core.encoders.weights.locate`).

        TorchScript is code as well as weights: it is run as it is, and never opened without that digest.
        """
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "`torch.jit.load` is", FutureWarning
            )  # there is no other form of the file
            return cls(torch.jit.load(str(path), map_location="cpu"))

    def to(self, device: torch.device) -> Self:
        """Move the network."""
        self.network.to(device)
        return self

    @torch.inference_mode()
    def features(self, videos: Tensor, layer: str = "logits") -> Tensor:
        """
        Logits (N, 400) of float videos (N, T, 3, H, W) in [0, 1], T at least 9, stretched as `I3D.features` does.

        Raises ValueError for other layers, of which the file gives none, and other shapes.
        """
        if videos.ndim != 5 or videos.shape[2] != 3 or videos.shape[1] < MIN_FRAMES:
            raise ValueError(f"I3D needs videos (N, T >= {MIN_FRAMES}, 3, H, W), got {tuple(videos.shape)}")
        if layer != "logits":
            raise ValueError(f"i3d_torchscript.pt gives no layer {layer!r}; there is only logits")
        rows = []
        for video in videos:
            frames = F.interpolate(video * 2 - 1, (SIDE, SIDE), mode="bilinear", align_corners=False)
            clip = frames.transpose(0, 1)[None]
            rows.append(self.network(clip, rescale=False, resize=False, return_features=True))
        return torch.cat(rows)
