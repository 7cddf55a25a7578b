"""
The public metrics.

Functions of arrays, which return a number that knows how it was measured (`Result`), and torchmetrics classes for
accumulation and distributed runs. Classes are imported when first asked for, as torchmetrics takes a second.
"""

from typing import TYPE_CHECKING, Any

from bench.metrics.clip_score import clip_score
from bench.metrics.clip_similarity import clip_similarity
from bench.metrics.frechet import extrapolated_frechet_distance, frechet_distance
from bench.metrics.fvd import fvd
from bench.metrics.kernel import kernel_distance
from bench.metrics.lpips import lpips
from bench.metrics.multiview import MultiView, multiview
from bench.metrics.pixels import psnr, ssim
from bench.metrics.result import Result
from bench.metrics.subject_consistency import subject_consistency
from bench.metrics.temporal import motion_smoothness, temporal_flicker

if TYPE_CHECKING:
    from bench.metrics.accumulated import (
        ClipMean,
        FrechetInceptionDistance,
        FrechetVideoDistance,
        KernelInceptionDistance,
        KernelVideoDistance,
    )

__all__ = [
    "ClipMean",
    "FrechetInceptionDistance",
    "FrechetVideoDistance",
    "KernelInceptionDistance",
    "KernelVideoDistance",
    "MultiView",
    "Result",
    "clip_score",
    "clip_similarity",
    "extrapolated_frechet_distance",
    "frechet_distance",
    "fvd",
    "kernel_distance",
    "lpips",
    "motion_smoothness",
    "multiview",
    "psnr",
    "ssim",
    "subject_consistency",
    "temporal_flicker",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from bench.metrics import accumulated

        return getattr(accumulated, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
