"""
Damage of known kind and strength to videos, to find out what a metric sees (docs/metrics.md has the answers).

Each function takes one clip, float32 (T, 3, H, W) in [0, 1], a strength from 0 (none) to 1, and a random generator.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.float32]
Distortion = Callable[[Clip, float, np.random.Generator], Clip]


def distort(videos: Clip, distortion: Distortion, strength: float, *, seed: int = 0) -> Clip:
    """Every clip of (N, T, 3, H, W) distorted; clip i draws from (seed, i), the same at every strength."""
    clips = [distortion(clip, strength, np.random.default_rng([seed, index])) for index, clip in enumerate(videos)]
    return np.asarray(np.clip(np.stack(clips), 0, 1), np.float32)


def blur(clip: Clip, strength: float, draw: np.random.Generator) -> Clip:
    """Gaussian, sigma up to 1/16 of the shorter side."""
    sigma = strength * min(clip.shape[2:]) / 16
    if not sigma:
        return clip
    return np.stack([cv2.GaussianBlur(frame.transpose(1, 2, 0), (0, 0), sigma).transpose(2, 0, 1) for frame in clip])


def noise(clip: Clip, strength: float, draw: np.random.Generator) -> Clip:
    """Gaussian and new in every frame, standard deviation up to 0.3."""
    return clip + np.float32(0.3 * strength) * draw.standard_normal(clip.shape, np.float32)


def shuffle(clip: Clip, strength: float, draw: np.random.Generator) -> Clip:
    """A share of the frames, two at least, change places, none stays where it was; the pictures are what they were."""
    count = max(round(strength * len(clip)), 2) if strength else 0
    moved, order = draw.permutation(len(clip))[:count], np.arange(len(clip))
    order[moved] = np.roll(moved, 1)
    return clip[order]


def freeze(clip: Clip, strength: float, draw: np.random.Generator) -> Clip:
    """The last frames, up to all of them, repeat the one before them."""
    held = round((1 - strength) * (len(clip) - 1))
    return clip[np.minimum(np.arange(len(clip)), held)]


def colour(clip: Clip, strength: float, draw: np.random.Generator) -> Clip:
    """A cast: up to 60 % more red and 60 % less blue."""
    gains = np.array([1 + 0.6 * strength, 1, 1 - 0.6 * strength], np.float32)
    return clip * gains[:, None, None]


DISTORTIONS: dict[str, Distortion] = {
    "blur": blur,
    "noise": noise,
    "shuffle": shuffle,
    "freeze": freeze,
    "colour": colour,
}
