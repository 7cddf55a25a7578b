"""Motion score: mean magnitude of Farneback flow at 2 frames/s (paper: Stage II annotation, optical flow).

The flow maps' shortest side is 16 px, and the score is the mean over time and space of the vectors' *length*: the mean
of signed components would call a pan in both directions static. Its unit is pixels of the 16-px map per half second.
Farneback is not monotone for fast motion, so thresholds belong to this score only.
"""

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

FPS = 2.0
SIDE = 16
METHOD = "farneback@2fps,16px, mean magnitude"


def motion_score(frames: list[NDArray[np.uint8]], fps: float) -> float | None:
    """Mean flow magnitude over a clip's RGB frames (H, W, 3), twice a second; null when under half a second."""
    picked = np.round(np.arange(0, len(frames) - 0.5, fps / FPS)).astype(int)
    maps = [_grey_map(frames[index]) for index in picked if index < len(frames)]
    if len(maps) < 2:
        return None
    return float(np.mean([_magnitude(before, after) for before, after in pairwise(maps)]))


def _grey_map(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    scale = SIDE / min(height, width)
    size = (max(SIDE, round(width * scale)), max(SIDE, round(height * scale)))
    return cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(np.uint8)


def _magnitude(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    flow = np.zeros((*before.shape, 2), np.float32)
    cv2.calcOpticalFlowFarneback(
        before, after, flow, pyr_scale=0.5, levels=3, winsize=5, iterations=3, poly_n=5, poly_sigma=1.1, flags=0
    )
    return float(np.hypot(flow[..., 0], flow[..., 1]).mean())
