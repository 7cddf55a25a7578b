"""Classifier-free guidance (Ho & Salimans 2022): D = D_uncond + scale (D_cond - D_uncond)."""

import torch


def constant(scale: float, frames: int) -> torch.Tensor:
    """The same guidance scale for every frame, (frames,)."""
    return torch.full((frames,), scale)


def linear(first: float, last: float, frames: int) -> torch.Tensor:
    """A scale that rises linearly over the frames, (frames,), as in the released image-to-video sampler."""
    return torch.linspace(first, last, frames)


def triangular(lowest: float, highest: float, frames: int) -> torch.Tensor:
    """A scale that rises to `highest` half-way and falls back, (frames,): an orbit ends where it began.

    As in SV3D (Voleti et al. 2024, section 3.2): lowest + (highest - lowest) * (1 - |2 t - 1|), t from 0 to 1.
    """
    return lowest + (highest - lowest) * (1 - (2 * torch.linspace(0, 1, frames) - 1).abs())


def combine(unconditional: torch.Tensor, conditional: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Guided estimate of clips (B, T, ...) from both branches' estimates and one scale per frame, (T,)."""
    weights = scale.to(conditional.dtype).reshape(1, -1, *[1] * (conditional.ndim - 2))
    return unconditional + weights * (conditional - unconditional)
