"""Small drawn shots and the ways to join them: what the curation tests look at. Frames are uint8 RGB (N, H, W, 3)."""

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


def shot(seed: int, frames: int = 24, height: int = 96, width: int = 144, speed: float = 2.0) -> Frames:
    """A disc drifting to the right at `speed` pixels a frame over a smooth background of random colours."""
    rng = np.random.default_rng([seed, 1])
    corners = rng.uniform(30, 225, size=(2, 2, 3)).astype(np.float32)
    background = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
    background = background + rng.normal(0, 3, size=background.shape)
    colour = [float(c) for c in rng.uniform(0, 255, size=3)]
    x, y = rng.uniform(0.2, 0.5) * width, rng.uniform(0.3, 0.7) * height
    drawn = []
    for index in range(frames):
        canvas = np.clip(background, 0, 255).astype(np.uint8)
        centre = (round((x + speed * index) * 16), round(y * 16))
        cv2.circle(canvas, centre, round(height / 5 * 16), colour, thickness=-1, lineType=cv2.LINE_AA, shift=4)
        drawn.append(canvas)
    return np.stack(drawn)


def cut(before: Frames, after: Frames) -> Frames:
    return np.concatenate([before, after])


def fade(before: Frames, after: Frames, steps: int = 6, level: int = 0) -> Frames:
    """The last `steps` frames of one shot go to a flat grey level, the first `steps` of the next come out of it."""
    weight = np.linspace(1, 0, steps + 1)[1:, None, None, None]
    out = before[-steps:] * weight + level * (1 - weight)
    back = after[:steps] * weight[::-1] + level * (1 - weight[::-1])
    return np.concatenate([before[:-steps], out.round(), back.round(), after[steps:]]).astype(np.uint8)


def dissolve(before: Frames, after: Frames, steps: int = 8) -> Frames:
    """The last `steps` frames of one shot are blended into the first of the next."""
    weight = np.linspace(0, 1, steps + 2)[1:-1, None, None, None]
    blend = before[-steps:] * (1 - weight) + after[:steps] * weight
    return np.concatenate([before[:-steps], blend.round(), after[steps:]]).astype(np.uint8)
