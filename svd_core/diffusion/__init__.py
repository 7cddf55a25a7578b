"""Diffusion: noise levels, preconditioning, objectives, samplers and guidance, with the papers' equations beside them.

Continuous (SVD, EDM): `draw_sigma`, `precondition`, `denoiser`, `loss`, `edm_sigmas` with `euler` or `heun`.
Discrete (Stable Diffusion, the paper's ablations): `DiscreteSchedule`, `discrete_loss`, `ddim`.
"""

from svd_core.diffusion.discrete import DiscreteSchedule, Target, discrete_loss
from svd_core.diffusion.guidance import combine, constant, linear, triangular
from svd_core.diffusion.noise import draw_sigma, offset_noise
from svd_core.diffusion.preconditioning import (
    Denoiser,
    Network,
    Precondition,
    Preconditioning,
    denoiser,
    loss,
    precondition,
)
from svd_core.diffusion.sampling import ddim, edm_sigmas, euler, heun

__all__ = [
    "Denoiser",
    "DiscreteSchedule",
    "Network",
    "Precondition",
    "Preconditioning",
    "Target",
    "combine",
    "constant",
    "ddim",
    "denoiser",
    "discrete_loss",
    "draw_sigma",
    "edm_sigmas",
    "euler",
    "heun",
    "linear",
    "loss",
    "offset_noise",
    "precondition",
    "triangular",
]
