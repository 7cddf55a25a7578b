"""The Fréchet distance of two feature sets taken as Gaussians (Dowson & Landau 1982; Heusel et al. 2017, eq. 6)."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bench.metrics.sets import feature_rows

Floats = NDArray[np.float64]

LARGE = 1024
"""Dimensions from which quicker ways are taken that are as exact; results of fewer keep their bits."""


@dataclass(frozen=True)
class Gaussian:
    """Statistics of a feature set: its mean (d,) and a factor F (k, d) of its unbiased covariance FᵀF, k <= n, d."""

    mean: Floats
    factor: Floats

    @classmethod
    def of(cls, features: ArrayLike | Tensor, name: str = "x") -> Self:
        """
        Of features (n, d). For n <= d the factor is the centred features over √(n-1), so nothing is lost to rounding;
        for larger n the covariance itself is factored.
        """
        rows = feature_rows(features, name)
        mean = rows.mean(0)
        factor = rows - mean
        factor /= np.sqrt(len(rows) - 1)
        if len(rows) > rows.shape[1]:
            return cls(mean, factored(factor.T @ factor, rows.shape[1]))
        return cls(mean, factor)


def frechet_distance(x: ArrayLike | Tensor | Gaussian, y: ArrayLike | Tensor | Gaussian) -> float:
    """
    Squared Fréchet (2-Wasserstein) distance |μx - μy|² + tr(Σx + Σy - 2 (Σx Σy)^½) of features (n, d) and (m, d).

    Range [0, inf), lower is nearer, zero for equal moments; covariances are unbiased, arithmetic is float64. The
    estimate is biased upward by an amount that grows as n falls: never compare values of different n. A set that is
    compared more than once may be given as its `Gaussian`.

    With A, B the covariances' factors, tr (Σx Σy)^½ is the nuclear norm of A Bᵀ: no matrix square root, no
    regularisation, and exact for n < d.
    """
    a = x if isinstance(x, Gaussian) else Gaussian.of(x, "x")
    b = y if isinstance(y, Gaussian) else Gaussian.of(y, "y")
    if len(a.mean) != len(b.mean):
        raise ValueError(f"both sets need the same number of features, got {len(a.mean)} and {len(b.mean)}")
    overlap = nuclear_norm(a.factor @ b.factor.T)
    distance = np.sum((a.mean - b.mean) ** 2) + np.sum(a.factor**2) + np.sum(b.factor**2) - 2 * overlap
    return max(float(distance), 0.0)


def extrapolated_frechet_distance(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> float:
    """
    The distance at infinitely many samples, extrapolated from two sizes (after Chong & Forsyth 2020, FID∞).

    The bias of the Fréchet distance is to first order a/n + b/m. So the distance of both sets whole, minus what it
    rises by when both are halved: 2 F(x, y) - (F(x₁, y₁) + F(x₂, y₂)) / 2, the halves being every second row, so that
    the cut is deterministic. Range (-inf, inf): the estimate of a small distance can be negative. It takes n, m >= 4;
    where n is far below the features' effective dimension, part of the bias remains.
    """
    rows_x, rows_y = feature_rows(x, "x"), feature_rows(y, "y")
    if min(len(rows_x), len(rows_y)) < 4:
        raise ValueError(f"extrapolating needs at least 4 samples a set, got {len(rows_x)} and {len(rows_y)}")
    halves = np.mean([frechet_distance(rows_x[half::2], rows_y[half::2]) for half in (0, 1)])
    return float(2 * frechet_distance(rows_x, rows_y) - halves)


def nuclear_norm(matrix: Floats) -> float:
    """
    The sum of singular values.

    Of large matrices the roots of the eigenvalues of the square, in a third of the time. Rounding moves those by about
    10 eps of the largest, so a root by that over twice the root: where this could show in the twelfth digit of the sum,
    the matrix is projected on the axes of these eigenvalues, and the singular values of what is left are exact again.
    """
    if min(matrix.shape) > LARGE and np.any(matrix):
        square = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
        values, axes_of_first = symmetric_eigen(square)
        noise = 10 * np.finfo(np.float64).eps * values[-1]
        roots = np.sqrt(np.maximum(values, noise))
        rounding = np.cumsum((noise / (2 * roots))[::-1])[::-1]
        doubtful = int(np.sum(rounding > 1e-12 * np.sum(roots)))
        if doubtful < len(roots) // 2:
            axes = axes_of_first(doubtful)
            rest = axes.T @ matrix if len(matrix) <= matrix.shape[1] else matrix @ axes
            return float(np.sum(roots[doubtful:]) + np.sum(np.linalg.svd(rest, compute_uv=False)))
    return float(torch.linalg.svdvals(torch.from_numpy(matrix)).sum().item())


def symmetric_eigen(matrix: Floats) -> tuple[Floats, Callable[[int], Floats]]:
    """
    Eigenvalues of a symmetric (n, n), ascending, and what gives the eigenvectors (n, k) of the first k of them.

    LAPACK's drivers give all values with all vectors or some values with theirs; here one reduction to tridiagonal form
    serves both.
    """
    from scipy.linalg import eigh_tridiagonal, lapack

    work = lapack.dsytrd_lwork(len(matrix), lower=1)[0]
    reflectors, diagonal, beside, scales, _ = lapack.dsytrd(matrix, lower=1, lwork=int(work))
    values = eigh_tridiagonal(diagonal, beside, eigvals_only=True, check_finite=False)

    def axes_of_first(count: int) -> Floats:
        if not count:
            return np.zeros((len(matrix), 0))
        axes = eigh_tridiagonal(diagonal, beside, select="i", select_range=(0, count - 1), check_finite=False)[1]
        turned = lapack.dormqr("L", "N", reflectors[1:, :-1], scales, axes[1:], lwork=64 * count)[0]
        return np.vstack([axes[:1], turned])

    return values, axes_of_first


def factored(covariance: Floats, rank: int) -> Floats:
    """A factor F (k, d), k <= rank, of a covariance FᵀF (d, d) that is known to have at most this rank."""
    if rank == len(covariance) > LARGE:
        with contextlib.suppress(np.linalg.LinAlgError):  # singular all the same
            return np.asarray(np.linalg.cholesky(covariance).T)
    variances, axes = np.linalg.eigh(covariance)
    factor = np.sqrt(np.maximum(variances, 0))[:, None] * axes.T
    return np.asarray(factor[len(factor) - rank :])
