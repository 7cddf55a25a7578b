"""SVD's continuous preconditioning (Karras et al. 2022, table 1, with v-prediction's scalings; Blattmann et al. 2023).

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise),    sigma_data = 1

The loss weight makes the objective a unit-weight mean squared error on the raw network output F:
weight * c_out^2 = 1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

Network = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""F(scaled input (B, ...), c_noise (B,)) -> raw output, same shape as the input."""

Denoiser = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""D(noisy (B, ...), sigma (B,)) -> estimate of the clean data, same shape."""


@dataclass(frozen=True)
class Preconditioning:
    """The five factors, each shaped like the sigma that they were computed from."""

    c_skip: torch.Tensor
    c_out: torch.Tensor
    c_in: torch.Tensor
    c_noise: torch.Tensor
    weight: torch.Tensor


def precondition(sigma: torch.Tensor) -> Preconditioning:
    """Factors of noise level `sigma` (any shape, > 0)."""
    variance = sigma**2 + 1
    return Preconditioning(
        c_skip=1 / variance,
        c_out=-sigma / variance.sqrt(),
        c_in=1 / variance.sqrt(),
        c_noise=0.25 * sigma.log(),
        weight=variance / sigma**2,
    )


Precondition = Callable[[torch.Tensor], Preconditioning]
"""From sigma to the five factors: `precondition` here, or a discrete schedule's."""


def expand(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """One value per batch element, (B,), shaped to multiply `like`, (B, ...)."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def denoiser(network: Network, factors_of: Precondition = precondition) -> Denoiser:
    """Wrap the raw network F as the denoiser D."""

    def denoise(noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        factors = factors_of(sigma)
        raw = network(expand(factors.c_in, noisy) * noisy, factors.c_noise)
        return expand(factors.c_skip, noisy) * noisy + expand(factors.c_out, noisy) * raw

    return denoise


def loss(network: Network, clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Weighted denoising error of every batch element, (B,): the mean of weight (D(clean + sigma noise) - clean)^2.

    clean, noise: (B, ...); sigma: (B,).
    """
    estimate = denoiser(network)(clean + expand(sigma, clean) * noise, sigma)
    return precondition(sigma).weight * (estimate - clean).square().flatten(1).mean(1)
