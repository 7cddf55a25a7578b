"""Kernel distance (Bińkowski et al. 2018, "Demystifying MMD GANs"): KID on Inception's features, KVD on I3D's."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from bench.metrics.sets import feature_rows

BLOCK = 2048
"""Rows of the kernel matrix that are in memory at once, so that any n fits."""


def kernel_distance(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> float:
    """
    Unbiased squared MMD of features (n, d) and (m, d) under the kernel (xᵀy / d + 1)³.

    Lower is nearer; the expectation is 0 for equal distributions at every n, so single values may be negative, and
    values of different n may be compared. All pairs are used, in float64: the common codes average over 100 random
    subsets of 1000, which has the same expectation but is noisier, and another number each time.
    """
    a, b = feature_rows(x, "x"), feature_rows(y, "y")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"both sets need the same number of features, got {a.shape[1]} and {b.shape[1]}")
    n, m = len(a), len(b)
    within_a = (_kernel_sum(a, a) - _diagonal_sum(a)) / (n * (n - 1))
    within_b = (_kernel_sum(b, b) - _diagonal_sum(b)) / (m * (m - 1))
    return float(within_a + within_b - 2 * _kernel_sum(a, b) / (n * m))


def _kernel_sum(a: NDArray[np.float64], b: NDArray[np.float64]) -> Any:
    starts = range(0, len(a), BLOCK)
    return np.sum([((a[start : start + BLOCK] @ b.T / a.shape[1] + 1) ** 3).sum() for start in starts])


def _diagonal_sum(a: NDArray[np.float64]) -> Any:
    return ((np.einsum("nd,nd->n", a, a) / a.shape[1] + 1) ** 3).sum()
