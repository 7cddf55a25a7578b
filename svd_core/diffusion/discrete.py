"""Stable Diffusion's discrete schedule: noise levels numbered 0 .. N - 1, variance-preserving latents.

    x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) eps,    sigma_t = sqrt((1 - abar_t) / abar_t)

x_t is c_in (x0 + sigma_t eps): the same latents as the continuous form's, scaled to unit variance.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from svd_core.diffusion.preconditioning import Network, Precondition, Preconditioning, expand

Target = Literal["epsilon", "v"]
"""What the network predicts: eps, or v = sqrt(abar) eps - sqrt(1 - abar) x0 (Salimans & Ho 2022, appendix D)."""


@dataclass(frozen=True)
class DiscreteSchedule:
    """Falling abar_t, (N,) float64, of steps 0 .. N - 1. Build it with `stable_diffusion`."""

    alphas_cumprod: torch.Tensor

    @classmethod
    def stable_diffusion(cls, steps: int = 1000, first: float = 0.00085, last: float = 0.012) -> "DiscreteSchedule":
        """The `scaled_linear` betas of Stable Diffusion 1 and 2: sqrt(beta) rises linearly (Rombach et al. 2022)."""
        betas = torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64) ** 2
        return cls((1 - betas).cumprod(0))

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    @property
    def sigmas(self) -> torch.Tensor:
        """Rising noise levels, (N,) float64; the last is infinite under zero-terminal-SNR."""
        return ((1 - self.alphas_cumprod) / self.alphas_cumprod).sqrt()

    def shifted(self, from_side: float, to_side: float) -> "DiscreteSchedule":
        """The schedule for another resolution: log SNR_t + 2 log(from_side / to_side), i.e. sigma_t * to / from.

        Neighbouring pixels of a larger picture agree more, so the same noise hides less of it (Hoogeboom et al. 2023,
        eq. 4). The sides are in pixels, or in any other unit.
        """
        snr = self.alphas_cumprod / (1 - self.alphas_cumprod) * (from_side / to_side) ** 2
        return DiscreteSchedule(snr / (1 + snr))

    def zero_terminal_snr(self) -> "DiscreteSchedule":
        """The schedule whose last step is pure noise and whose first is unchanged (Lin et al. 2024, algorithm 1)."""
        root = self.alphas_cumprod.sqrt()
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        return DiscreteSchedule(root**2)

    def nearest(self, sigma: torch.Tensor) -> torch.Tensor:
        """The step whose sigma is nearest, int64, shaped like `sigma`: c_noise of the paper's discrete form."""
        sigmas = self.sigmas.to(sigma.device)
        above = torch.searchsorted(sigmas, sigma.double()).clamp(1, len(self) - 1)
        closer_below = sigma - sigmas[above - 1] <= sigmas[above] - sigma
        return torch.where(closer_below, above - 1, above)

    def mix(self, clean: torch.Tensor, eps: torch.Tensor, step: int | torch.Tensor) -> torch.Tensor:
        """x_t of clean data and noise, both (B, ...), at one step or one per batch element, (B,)."""
        signal, noise = self._roots(step, clean)
        return signal * clean + noise * eps

    def target(self, clean: torch.Tensor, eps: torch.Tensor, step: torch.Tensor, target: Target) -> torch.Tensor:
        """What the network should predict, (B, ...)."""
        signal, noise = self._roots(step, clean)
        return eps if target == "epsilon" else signal * eps - noise * clean

    def split(
        self, raw: torch.Tensor, x: torch.Tensor, step: int | torch.Tensor, target: Target
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Estimates of x0 and eps from the network's prediction at x_t; inverts `mix` if the prediction is exact.

        Raises ValueError for an eps prediction of pure noise, which says nothing of x0.
        """
        signal, noise = self._roots(step, x)
        if target == "v":
            return signal * x - noise * raw, signal * raw + noise * x
        if not bool((signal > 0).all()):
            raise ValueError("a network that predicts epsilon cannot start at zero SNR; train it for v")
        return (x - noise * raw) / signal, raw

    def preconditioning(self, target: Target) -> Precondition:
        """The schedule's factors as functions of sigma, for the samplers on the continuous ODE.

        c_in = 1 / sqrt(sigma^2 + 1), c_noise = nearest step. epsilon: c_skip = 1, c_out = -sigma (paper, appendix D);
        v: c_skip = 1 / (sigma^2 + 1), c_out = -sigma / sqrt(sigma^2 + 1). The loss weight is 1 / c_out^2.
        """

        def factors(sigma: torch.Tensor) -> Preconditioning:
            variance = sigma**2 + 1
            c_skip = torch.ones_like(sigma) if target == "epsilon" else 1 / variance
            c_out = -sigma if target == "epsilon" else -sigma / variance.sqrt()
            c_noise = self.nearest(sigma).to(sigma.dtype)
            return Preconditioning(c_skip, c_out, 1 / variance.sqrt(), c_noise, 1 / c_out**2)

        return factors

    def _roots(self, step: int | torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """sqrt(abar_t) and sqrt(1 - abar_t), shaped to multiply `like`."""
        steps = torch.as_tensor(step).reshape(-1).cpu()
        abar = self.alphas_cumprod[steps]
        return expand(abar.sqrt().to(like), like), expand((1 - abar).sqrt().to(like), like)


def discrete_loss(
    network: Network,
    clean: torch.Tensor,
    noise: torch.Tensor,
    step: torch.Tensor,
    *,
    schedule: DiscreteSchedule,
    target: Target,
) -> torch.Tensor:
    """Mean squared error of every element's prediction, (B,): Stable Diffusion's objective (Ho et al. 2020, eq. 14).

    clean, noise: (B, ...); step: int64 (B,), uniform over the schedule. Defined at zero SNR too, where sigma is not.
    """
    raw = network(schedule.mix(clean, noise, step), step)
    return (raw - schedule.target(clean, noise, step, target)).square().flatten(1).mean(1)
