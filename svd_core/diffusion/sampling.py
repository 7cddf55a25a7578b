"""Deterministic sampling of the probability-flow ODE dx/dsigma = (x - D(x; sigma)) / sigma."""

from itertools import pairwise, zip_longest
from typing import Literal

import torch

from svd_core.diffusion.discrete import DiscreteSchedule, Target
from svd_core.diffusion.preconditioning import Denoiser, Network


def edm_sigmas(steps: int, *, sigma_min: float, sigma_max: float, rho: float) -> torch.Tensor:
    """Falling noise levels, (steps + 1,) float64, sigma_max to sigma_min, then 0 (Karras et al. 2022, eq. 5)."""
    if steps < 1 or not 0 < sigma_min <= sigma_max or not rho > 0:
        raise ValueError(
            f"sigma grid needs steps >= 1, 0 < sigma_min <= sigma_max and rho > 0; "
            f"got steps={steps}, sigma_min={sigma_min}, sigma_max={sigma_max}, rho={rho}"
        )
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    grid = (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho
    return torch.cat([grid, grid.new_zeros(1)])


def euler(denoise: Denoiser, noise: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Solve dx/dsigma = (x - D(x; sigma)) / sigma along `sigmas` (Karras et al. 2022, algorithm 1, first order).

    noise: unit normal, (B, ...). sigmas: falling, (steps + 1,), the last may be 0. Returns (B, ...).
    """
    x = noise * sigmas[0].to(noise.dtype)
    for now, following in pairwise(sigmas.tolist()):
        x = x + _slope(denoise, x, now) * (following - now)
    return x


def heun(denoise: Denoiser, noise: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Heun's second-order method (Karras et al. 2022, algorithm 1): the slope is the mean of both ends'.

    The step to sigma = 0 is Euler's, since the slope is undefined there. Arguments and result as of `euler`; twice the
    evaluations.
    """
    x = noise * sigmas[0].to(noise.dtype)
    for now, following in pairwise(sigmas.tolist()):
        slope = _slope(denoise, x, now)
        reached = x + slope * (following - now)
        if following > 0:
            slope = (slope + _slope(denoise, reached, following)) / 2
            reached = x + slope * (following - now)
        x = reached
    return x


def ddim(
    network: Network,
    noise: torch.Tensor,
    schedule: DiscreteSchedule,
    *,
    target: Target,
    steps: int,
    spacing: Literal["leading", "trailing"] = "trailing",
) -> torch.Tensor:
    """DDIM without added noise (Song et al. 2021, eq. 12 with sigma_t = 0), on variance-preserving latents.

        x_{t-1} = sqrt(abar_{t-1}) x0 + sqrt(1 - abar_{t-1}) eps

    network: F(x_t (B, ...), step (B,)) -> `target`, as trained on `schedule`. noise: unit normal, (B, ...). Returns
    clean data (B, ...).
    """
    x = noise
    grid = ddim_steps(len(schedule), steps, spacing)
    for step, following in zip_longest(grid, grid[1:]):
        raw = network(x, torch.full((len(x),), step, device=x.device))
        clean, eps = schedule.split(raw, x, step, target)
        x = clean if following is None else schedule.mix(clean, eps, following)
    return x


def ddim_steps(total: int, steps: int, spacing: Literal["leading", "trailing"]) -> list[int]:
    """Falling steps of a schedule of `total`, counted from 0 (Lin et al. 2024, table 2).

    "trailing" starts at the last step, which zero-terminal-SNR needs; "leading", as Stable Diffusion samples, at
    (steps - 1) * (total // steps) + 1, short of pure noise.
    """
    most = total - 1 if spacing == "leading" else total
    if not 1 <= steps <= most:
        raise ValueError(
            f"a schedule of {total} steps can be sampled in 1 to {most} with {spacing} spacing; got {steps}"
        )
    if spacing == "leading":
        return [index * (total // steps) + 1 for index in reversed(range(steps))]
    return [round(total - index * total / steps) - 1 for index in range(steps)]


def _slope(denoise: Denoiser, x: torch.Tensor, sigma: float) -> torch.Tensor:
    return (x - denoise(x, torch.full((len(x),), sigma, dtype=x.dtype, device=x.device))) / sigma
