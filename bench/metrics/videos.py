"""What every metric asks of the videos it is given."""

from collections.abc import Callable

import torch
from numpy.typing import ArrayLike
from torch import Tensor

ClipEncoder = Callable[[Tensor], Tensor]
"""From one clip, float (T, 3, H, W) in [0, 1], to features (k, d): one row for the video or for each frame used."""


def float_videos(videos: ArrayLike | Tensor, name: str) -> Tensor:
    """
    Videos (N, T, 3, H, W) of floats in [0, 1] as float32.

    Raises ValueError, naming what was seen, for other shapes, integers, other ranges, and NaN (with the clip's index).
    """
    tensor = videos if isinstance(videos, Tensor) else torch.as_tensor(videos)
    if tensor.ndim != 5 or tensor.shape[2] != 3:
        raise ValueError(f"{name}: expected videos (N, T, 3, H, W), got shape {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        raise ValueError(f"{name}: expected floats in [0, 1], got {tensor.dtype}; divide uint8 by 255")
    bad = torch.stack([~((clip >= 0) & (clip <= 1)).all() for clip in tensor]).nonzero()
    if len(bad):
        clip = tensor[bad[0, 0]]
        raise ValueError(
            f"{name}: clip {int(bad[0, 0])} has values outside [0, 1]: from {clip.min():.4g} to {clip.max():.4g}"
        )
    return tensor.float()


def first_middle_last(clip: Tensor) -> Tensor:
    """Three frames of a clip (T, 3, H, W): neighbouring frames differ too little to tell an image encoder much."""
    return clip[[0, len(clip) // 2, len(clip) - 1]]
