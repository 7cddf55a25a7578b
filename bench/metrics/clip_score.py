"""Agreement of clips with their prompts: the cosine of every frame with the text, under CLIP or the toy encoder."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class TextImageEncoder(Protocol):
    """Unit vectors (N, D) of uint8 images (N, 3, H, W) and of texts."""

    def embed_images(self, images: Tensor) -> Tensor: ...

    def embed_texts(self, texts: list[str]) -> Tensor: ...


def clip_score(encoder: TextImageEncoder, videos: NDArray[np.uint8], prompts: list[str]) -> NDArray[np.float64]:
    """
    For each clip of uint8 (N, T, 3, H, W), 100 · max(cosine, 0), mean over frames: in [0, 100], higher is better.

    Hessel et al. 2021, eq. 1, with torchmetrics' weight of 100 in place of 2.5.
    """
    return np.asarray(100 * np.maximum(frame_cosines(encoder, videos, prompts), 0).mean(1))


def toy_clip_score(encoder: TextImageEncoder, videos: NDArray[np.uint8], prompts: list[str]) -> NDArray[np.float64]:
    """
    For each clip of uint8 (N, T, 3, H, W), the cosine under the small encoder, mean over frames: in [-1, 1], higher is
    better. Not comparable with a CLIP score, nor between two trainings of the encoder.
    """
    return np.asarray(frame_cosines(encoder, videos, prompts).mean(1))


def frame_cosines(encoder: TextImageEncoder, videos: NDArray[np.uint8], prompts: list[str]) -> NDArray[np.float64]:
    """Cosines (N, T). Clips go through the encoder one at a time, so that none sees its neighbours."""
    if videos.ndim != 5 or len(videos) != len(prompts):
        raise ValueError(f"expected videos (N, T, 3, H, W) and N prompts, got {videos.shape} and {len(prompts)}")
    with torch.inference_mode():
        cosines = [
            encoder.embed_images(torch.from_numpy(clip)) @ encoder.embed_texts([prompt])[0]
            for clip, prompt in zip(videos, prompts, strict=True)
        ]
    return torch.stack(cosines).double().numpy()
