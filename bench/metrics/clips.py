"""What every metric of single clips does: check the videos, measure clip by clip, keep a value a clip."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.metrics.result import Result
from bench.metrics.videos import Videos, float_videos

ClipMeasure = Callable[[NDArray[np.uint8]], float]
"""From one clip, uint8 (T, 3, H, W), to its value."""


class ImageEncoder(Protocol):
    """Unit vectors (N, D) of uint8 images (N, 3, H, W)."""

    def embed_images(self, images: Tensor) -> Tensor: ...


def each_clip(measure: ClipMeasure, videos: Videos, *, name: str, weights: str | None = None) -> Result:
    """The mean of `measure` over videos (N, T, 3, H, W), floats in [0, 1], rounded to 8 bits; errors name the clip."""
    clips = float_videos(videos, "videos")
    per_clip = []
    for index, clip in enumerate(clips):
        try:
            per_clip.append(measure(as_bytes(clip).numpy()))
        except ValueError as error:
            raise ValueError(f"videos: clip {index}: {error}") from error
    return Result.mean_of(np.array(per_clip), name=name, weights=weights, frames=clips.shape[1])


def as_bytes(images: Tensor) -> Tensor:
    """Floats in [0, 1] rounded to uint8, as a file would hold them, on the CPU."""
    return (images * 255).round().to(torch.uint8).cpu()
