"""Mean and covariance of features that arrive in parts: over time, or over the ranks of a distributed run."""

from dataclasses import dataclass
from functools import reduce
from typing import Self

import torch
from torch import Tensor

from bench.metrics.frechet import Gaussian, factored


@dataclass(frozen=True)
class Moments:
    """
    Sample number n, mean (d,) and scatter Σ (x - μ)(x - μ)ᵀ (d, d), in float64, of a part of a set.

    Parts merge in any grouping and order (Chan, Golub & LeVeque 1979), and equal the whole to rounding: distances agree
    to 1e-9 relative. Memory does not grow with n.
    """

    n: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """Of features (n, d), n at least 1."""
        rows = features.double()
        mean = rows.mean(0)
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    @classmethod
    def empty(cls, d: int) -> Self:
        """Of no features, which changes nothing it is merged with."""
        return cls(0, torch.zeros(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64))

    def merged(self, other: Self) -> Self:
        """Of both parts together."""
        n = self.n + other.n
        if not other.n or not self.n:
            return self if not other.n else other
        gap = other.mean - self.mean
        scatter = self.scatter + other.scatter + torch.outer(gap, gap) * (self.n * other.n / n)
        return type(self)(n, self.mean + gap * (other.n / n), scatter)

    def gaussian(self) -> Gaussian:
        """What `frechet_distance` takes. Raises ValueError for fewer than two samples."""
        if self.n < 2:
            raise ValueError(f"a covariance needs at least two samples, got {self.n}")
        covariance = (self.scatter / (self.n - 1)).cpu().numpy()
        return Gaussian(self.mean.cpu().numpy(), factored(covariance, min(self.n - 1, len(self.mean))))

    def packed(self) -> Tensor:
        """All of it as one vector (1 + d + d²,), for channels that carry tensors."""
        count = torch.tensor([self.n], dtype=torch.float64, device=self.mean.device)
        return torch.cat([count, self.mean, self.scatter.flatten()])

    @classmethod
    def unpacked(cls, vector: Tensor) -> Self:
        """Back from `packed`."""
        d = round((vector.numel() - 0.75) ** 0.5 - 0.5)
        return cls(int(vector[0]), vector[1 : d + 1], vector[d + 1 :].view(d, d))


def merge_packed(vectors: Tensor) -> Tensor:
    """The sum of packed moments (parts, 1 + d + d²): a reduction over ranks."""
    return reduce(Moments.merged, map(Moments.unpacked, vectors)).packed()
