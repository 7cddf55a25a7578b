"""The frames of a clip that costly scores look at, and how their scores become the clip's."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]


def keyframes(frames: list[Frame]) -> list[Frame]:
    """First, middle and last frame (paper, Stage II annotation)."""
    return [frames[0], frames[len(frames) // 2], frames[-1]]


def over_frames(scores: NDArray[np.float64], combine: Literal["mean", "max"]) -> float:
    """One number of the keyframes' scores: how is unpublished, so every score has it as a setting."""
    return float(scores.max() if combine == "max" else scores.mean())
