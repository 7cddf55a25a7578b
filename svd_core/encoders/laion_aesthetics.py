"""LAION's aesthetics predictor (Schuhmann et al. 2022): linear layers on CLIP ViT-L/14's image embedding.

The published head is `sac+logos+ava1-l14-linearMSE.pth` (five layers, no activation between them). Scores are those of
people on a scale of 1 to 10.
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

NAME = re.compile(r"(layers\.(\d+)\.)?(weight|bias)")


class LaionAesthetics:
    """A head of linear layers, (weight, bias) each. Build it with `load`."""

    def __init__(self, layers: list[tuple[Tensor, Tensor]]) -> None:
        self.layers = layers

    @classmethod
    def load(cls, path: Path) -> Self:
        """From a head in safetensors (see `svd_core.encoders.weights`). Raises ValueError for other tensors."""
        tensors = load_file(path)
        names = {name: NAME.fullmatch(name) for name in tensors}
        numbers = sorted({int(match[2] or 0) for match in names.values() if match})
        prefixes = [f"layers.{number}." if f"layers.{number}.weight" in tensors else "" for number in numbers]
        wanted = {f"{prefix}{part}" for prefix in prefixes for part in ("weight", "bias")}
        if not numbers or wanted != set(tensors):
            raise ValueError(f"{path}: expected linear layers named layers.N.weight and .bias, found {sorted(tensors)}")
        layers = [(tensors[f"{prefix}weight"].float(), tensors[f"{prefix}bias"].float()) for prefix in prefixes]
        widths_fit = all(before.shape[0] == after.shape[1] for (before, _), (after, _) in pairwise(layers))
        if not widths_fit or layers[-1][0].shape[0] != 1:
            raise ValueError(
                f"{path}: its layers {[tuple(weight.shape) for weight, _ in layers]} do not end in one score"
            )
        return cls(layers)

    @property
    def width(self) -> int:
        """Dimensions of the embedding that the head was trained on (768 for CLIP ViT-L/14)."""
        return self.layers[0][0].shape[1]

    @torch.inference_mode()
    def __call__(self, embeddings: Tensor) -> Tensor:
        """Scores (N,), about 1 to 10, of unit CLIP image embeddings (N, D). Raises ValueError where D is another."""
        if embeddings.shape[1] != self.width:
            raise ValueError(f"the head is for embeddings of {self.width} dimensions, got {embeddings.shape[1]}")
        scores = embeddings.float()
        for weight, bias in self.layers:
            scores = F.linear(scores, weight, bias)
        return scores[:, 0]
