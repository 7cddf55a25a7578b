"""What distances between two sets of features share: checks, parts, and the error of a set's choice."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bench.metrics.videos import as_tensor

GROUPS = 16


def feature_rows(values: ArrayLike | Tensor, name: str) -> NDArray[np.float64]:
    """Features (n, d) as float64. Raises ValueError for other shapes, fewer than two rows, and rows not finite."""
    given = as_tensor(values, name)
    if given.is_complex():
        raise ValueError(f"{name} needs real features, got {given.dtype}")
    array = given.cpu().double().numpy()
    if array.ndim != 2 or len(array) < 2 or not array.shape[1]:
        raise ValueError(f"{name} needs features (n, d) of at least two samples, got shape {array.shape}")
    wrong = np.flatnonzero(~np.isfinite(array).all(1))
    if wrong.size:
        raise ValueError(f"{name} has features that are not finite, first in row {wrong[0]}")
    return array


def jackknife_stderr(
    generated: NDArray[np.float32], clips: int, distance: Callable[[NDArray[Any]], float]
) -> float | None:
    """
    Standard error of `distance(generated)` over the choice of generated clips, by the delete-a-group jackknife.

    `generated` holds the features of `clips` clips, equally many each, in order; a clip's frames are left out together.
    16 groups, √((g-1)/g Σ(θ₍ⱼ₎ - θ̄)²) (Shao & Tu 1995, section 2.3). The reference set is held fixed, as all arms share
    it. `None` for fewer than 32 clips. (Resampling with replacement instead would bias the distance upward.)
    """
    if clips < 2 * GROUPS:
        return None
    per_clip = generated.reshape(clips, -1, generated.shape[-1])
    group = np.arange(clips) % GROUPS
    left_out = [distance(per_clip[group != g].reshape(-1, generated.shape[-1])) for g in range(GROUPS)]
    return float(np.sqrt((GROUPS - 1) * np.var(left_out)))
