"""Deterministic sampling: the EDM sigma grid and Euler's method on the probability-flow ODE."""

import torch

from svd_core.diffusion.preconditioning import Denoiser


def edm_sigmas(steps: int, *, sigma_min: float, sigma_max: float, rho: float) -> torch.Tensor:
    """Falling noise levels, (steps + 1,) float64, sigma_max to sigma_min, then 0 (Karras et al. 2022, eq. 5)."""
    if steps < 1 or not 0 < sigma_min <= sigma_max:
        raise ValueError(
            f"sigma grid needs steps >= 1 and 0 < sigma_min <= sigma_max; "
            f"got steps={steps}, sigma_min={sigma_min}, sigma_max={sigma_max}"
        )
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    grid = (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho
    return torch.cat([grid, grid.new_zeros(1)])


def euler(denoise: Denoiser, noise: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Solve dx/dsigma = (x - D(x; sigma)) / sigma along `sigmas` (Karras et al. 2022, algorithm 1, first order).

    noise: unit normal, (B, ...). sigmas: falling, (steps + 1,), the last may be 0. Returns (B, ...).
    """
    x = noise * sigmas[0].to(noise.dtype)
    for now, following in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        slope = (x - denoise(x, torch.full((len(x),), now, dtype=x.dtype))) / now
        x = x + slope * (following - now)
    return x
