"""How noise and its levels are drawn in training."""

import torch


def draw_sigma(normal: torch.Tensor, *, p_mean: float, p_std: float) -> torch.Tensor:
    """Noise levels shaped like `normal`, standard normal draws: ln sigma ~ N(p_mean, p_std^2).

    Karras et al. 2022, table 1.
    """
    return (p_mean + p_std * normal).exp()


def offset_noise(noise: torch.Tensor, channel_normal: torch.Tensor, *, strength: float) -> torch.Tensor:
    """Noise n + strength * m with one m ~ N(0, 1) per clip and channel (Guttenberg 2023), as in the paper's ablations.

    Plain noise leaves a picture's mean almost untouched, so that very bright or dark ones are never learnt. noise:
    (B, ..., C, h, w); channel_normal: (B, C), shared by all frames and pixels of a clip. Returns the shape of noise.
    """
    batch, channels = channel_normal.shape
    return noise + strength * channel_normal.reshape(batch, *[1] * (noise.ndim - 4), channels, 1, 1)
