"""Alignment: cosine of a clip's first, middle and last frame with its captions (paper: CLIP similarity to all)."""

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # processes that cut videos need no torch, and would pay seconds for it
    import torch


class ImageTextEncoder(Protocol):
    """A frozen encoder of both; embeddings are float32 (N, D) of unit norm."""

    def embed_images(self, images: "torch.Tensor") -> "torch.Tensor": ...

    def embed_texts(self, texts: list[str]) -> "torch.Tensor": ...


def alignment(encoder: ImageTextEncoder, frames: list[NDArray[np.uint8]], captions: list[str]) -> NDArray[np.float64]:
    """Cosine of every frame (uint8 RGB, H, W, 3, of one size) with the captions, mean over the captions: (frames,)."""
    import torch

    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        cosines: torch.Tensor = encoder.embed_images(images) @ encoder.embed_texts(captions).T
    return cosines.mean(dim=1).numpy().astype(np.float64)
