"""What every metric of pairs does: check two equal arrays of images, measure image by image, keep a value a clip."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from bench.metrics.result import Result
from bench.metrics.videos import as_tensor

Measure = Callable[[Tensor, Tensor], Tensor]
"""From two stacks of images (k, C, H, W) in [0, 1] to one value an image, (k,)."""


def each_pair(
    measure: Measure, a: ArrayLike | Tensor, b: ArrayLike | Tensor, *, name: str, weights: str | None = None
) -> Result:
    """
    The mean of `measure` over the clips of `a` against those of `b`, equal arrays (..., C, H, W) of floats in [0, 1].

    The first axis counts clips: `per_clip` (n,) averages over all axes between it and the images. A single image
    (C, H, W) is one clip. Clips are measured one at a time, so none depends on its neighbours. Raises ValueError, with
    the shapes seen, as `image_pairs` says.
    """
    ours, theirs = image_pairs(a, b)
    per_clip = np.array([float(measure(x, y).double().mean()) for x, y in zip(ours, theirs, strict=True)])
    if np.isfinite(per_clip).all():
        return Result.mean_of(per_clip, name=name, weights=weights, frames=ours.shape[1])
    value = float(per_clip.mean())  # equal images have an infinite PSNR, whose spread is no number
    return Result(value, name=name, n=len(per_clip), per_clip=per_clip, weights=weights, frames=ours.shape[1])


def image_pairs(a: ArrayLike | Tensor, b: ArrayLike | Tensor) -> tuple[Tensor, Tensor]:
    """
    Both arrays as (clips, images, C, H, W).

    Raises ValueError for unequal shapes, layouts other than (..., C, H, W) with 1 or 3 channels, integers, and values
    outside [0, 1] or NaN (with the clip's index).
    """
    ours, theirs = as_tensor(a, "a"), as_tensor(b, "b")
    seen = f"got shapes {tuple(ours.shape)} and {tuple(theirs.shape)}"
    if ours.shape != theirs.shape:
        raise ValueError(f"paired metrics need as many images of the same size on both sides, {seen}")
    if ours.ndim < 3 or ours.shape[-3] not in (1, 3) or not ours.numel():
        raise ValueError(f"expected images (..., C, H, W) with 1 or 3 channels, {seen}")
    return _checked(ours, "a"), _checked(theirs, "b")


def _checked(images: Tensor, name: str) -> Tensor:
    if not images.is_floating_point():
        raise ValueError(f"{name}: expected floats in [0, 1], got {images.dtype}; divide uint8 by 255")
    clips = images.reshape(len(images) if images.ndim > 3 else 1, -1, *images.shape[-3:])
    for index, clip in enumerate(clips):
        if not ((clip >= 0) & (clip <= 1)).all():
            low, high = clip.min(), clip.max()
            raise ValueError(f"{name}: clip {index} has values outside [0, 1]: from {low:.9g} to {high:.9g}")
    return clips.float()
