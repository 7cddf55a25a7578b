"""The Fréchet distance of two feature sets taken as Gaussians (Dowson & Landau 1982; Heusel et al. 2017, eq. 6)."""

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

GROUPS = 16


def frechet_distance(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> float:
    """
    Squared Fréchet (2-Wasserstein) distance |μx - μy|² + tr(Σx + Σy - 2 (Σx Σy)^½) of features (n, d) and (m, d).

    Range [0, inf), lower is nearer, zero for equal moments; covariances are unbiased, arithmetic is float64. The
    estimate is biased upward by an amount that grows as n falls: never compare values of different n.

    With A, B the centred features over √(n-1), tr (Σx Σy)^½ is the nuclear norm of A Bᵀ: no matrix square root, no
    regularisation, and exact for n < d. For n >= d the factors come from the eigenvectors of the covariance instead.
    """
    a, b = _features(x, "x"), _features(y, "y")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"both sets need the same number of features, got shapes {a.shape} and {b.shape}")
    (mean_a, factor_a), (mean_b, factor_b) = _moments(a), _moments(b)
    overlap = torch.linalg.svdvals(torch.from_numpy(factor_a @ factor_b.T)).sum().item()
    distance = np.sum((mean_a - mean_b) ** 2) + np.sum(factor_a**2) + np.sum(factor_b**2) - 2 * overlap
    return max(float(distance), 0.0)


def jackknife_stderr(generated: NDArray[np.float32], reference: NDArray[np.float32], clips: int) -> float | None:
    """
    Standard error of the distance over the choice of generated clips, by the delete-a-group jackknife.

    `generated` holds the features of `clips` clips, equally many each, in order; a clip's frames are left out together.
    16 groups, √((g-1)/g Σ(θ₍ⱼ₎ - θ̄)²) (Shao & Tu 1995, section 2.3). The reference set is held fixed, as all arms share
    it. `None` for fewer than 32 clips. (Resampling with replacement instead would bias the distance upward.)
    """
    if clips < 2 * GROUPS:
        return None
    per_clip = generated.reshape(clips, -1, generated.shape[-1])
    group = np.arange(clips) % GROUPS
    left_out = [
        frechet_distance(per_clip[group != g].reshape(-1, generated.shape[-1]), reference) for g in range(GROUPS)
    ]
    return float(np.sqrt((GROUPS - 1) * np.var(left_out)))


def _features(values: ArrayLike | Tensor, name: str) -> NDArray[np.float64]:
    array = np.asarray(values.cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(f"{name} needs features (n, d) of at least two samples, got shape {array.shape}")
    wrong = np.flatnonzero(~np.isfinite(array).all(1))
    if wrong.size:
        raise ValueError(f"{name} has features that are not finite, first in row {wrong[0]}")
    return array


def _moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean (d,) and a factor F (k, d) of the covariance FᵀF, k the smaller of n and d."""
    mean = x.mean(0)
    factor = (x - mean) / np.sqrt(len(x) - 1)
    if len(x) > x.shape[1]:
        variances, axes = np.linalg.eigh(factor.T @ factor)
        factor = np.sqrt(np.maximum(variances, 0))[:, None] * axes.T
    return mean, factor
