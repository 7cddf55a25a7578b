"""How noise levels are drawn in training: ln sigma ~ N(P_mean, P_std^2) (Karras et al. 2022, table 1)."""

import torch


def draw_sigma(normal: torch.Tensor, *, p_mean: float, p_std: float) -> torch.Tensor:
    """Noise levels, shaped like `normal` (standard normal draws)."""
    return (p_mean + p_std * normal).exp()
