"""Dynamic degree: the share of clips in which something moves (after VBench, Huang et al. 2024, which uses RAFT)."""

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

FLOW_SIDE = 128
"""Clips whose shorter side is smaller are enlarged before DIS, whose patches are 8 pixels wide."""
THRESHOLD = 6 / 256
"""Displacement between two frames, as a share of the shorter side, from which the pair counts as moving."""


def dynamic(videos: NDArray[np.uint8]) -> NDArray[np.float64]:
    """
    For each clip of uint8 (N, T, 3, H, W), 1.0 if it moves and 0.0 if not; the metric is the mean, in [0, 1].

    A frame pair moves if the fastest 5 % of its pixels are displaced by more than 6/256 of the shorter side on average;
    a clip moves if at least a quarter of its pairs do. Noise and flicker count as motion. The flow is OpenCV's DIS
    (medium). Raises ValueError for a single frame.
    """
    if videos.ndim != 5 or videos.shape[1] < 2:
        raise ValueError(f"dynamic degree needs videos (N, T >= 2, 3, H, W), got {videos.shape}")
    return np.array([float(np.mean(fastest(video) > THRESHOLD) >= 0.25) for video in videos])


def fastest(video: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean displacement (T-1,) of the fastest 5 % of pixels from frame to frame, as a share of the shorter side."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    frames = [_grey(frame) for frame in video]
    speeds = []
    for before, after in pairwise(frames):
        field = flow.calc(before, after, np.zeros((*before.shape, 2), np.float32))
        speed = np.sort(np.linalg.norm(field, axis=-1), axis=None)
        speeds.append(speed[-max(1, speed.size // 20) :].mean() / min(before.shape))
    return np.array(speeds)


def _grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(np.ascontiguousarray(frame.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY)
    scale = max(1, FLOW_SIDE // min(grey.shape))
    enlarged = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return enlarged.astype(np.uint8, copy=False)
