"""From noise to latents by the solver that fits what a network was trained for."""

from collections.abc import Callable
from typing import Protocol

import torch

from svd_core.diffusion import Denoiser, DiscreteSchedule, Network, ddim, denoiser, edm_sigmas, euler
from svd_core.settings import Objective


class Solver(Protocol):
    """Steps, and the grid of noise levels of a continuous objective (Karras et al. 2022, eq. 5)."""

    @property
    def steps(self) -> int: ...
    @property
    def sigma_min(self) -> float: ...
    @property
    def sigma_max(self) -> float: ...
    @property
    def rho(self) -> float: ...


def solve(
    guided: Callable[[Callable[[Network], Denoiser]], Denoiser],
    noise: torch.Tensor,
    settings: Solver,
    objective: Objective,
    schedule: DiscreteSchedule | None,
) -> torch.Tensor:
    """Latents from unit noise, both (B, T, C, h, w): Euler for the continuous objective, DDIM along a `schedule`.

    guided: the network under guidance, made of what its argument makes of the network.
    """
    if objective == "continuous" or schedule is None:
        grid = edm_sigmas(settings.steps, sigma_min=settings.sigma_min, sigma_max=settings.sigma_max, rho=settings.rho)
        return euler(guided(denoiser), noise, grid)
    return ddim(guided(lambda raw: raw), noise, schedule, target=objective, steps=settings.steps)
