"""
Dynamic degree: the share of clips in which something moves (after VBench, Huang et al. 2024, which uses RAFT).

VBench's rule, the speed of the fastest 5 % of pixels from one frame to the next, takes flicker and noise for motion:
flow explains them too, but each time with another vector. Here points are followed over several frames, and only those
count that go somewhere: their steps are consistent forward and backward, explain the picture better than standing still
does, and add up instead of cancelling.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

THRESHOLD = 6 / 256
"""Displacement a frame, as a share of the shorter side, from which a clip moves (VBench's)."""
FASTEST = 0.05
"""Share of the picture that has to move (VBench's)."""
STEPS = 8
"""Frame pairs over which points are followed, fewer in shorter clips."""
FLOW_SIDE = 128
"""Shorter side of what DIS sees, whose patches are 8 pixels wide."""
BLUR = 1 / 32
"""Sigma of the smoothing in space, as a share of the shorter side."""
LASTING = 0.75
"""Share of its steps that a point has to be seen moving."""
STRAIGHT = 0.5
"""Net displacement as a share of the path: a random walk of eight steps has 0.35, straight motion 1."""

Floats = NDArray[np.float32]


def dynamic(videos: NDArray[np.uint8]) -> NDArray[np.float64]:
    """
    For each clip of uint8 (N, T, 3, H, W), 1.0 if it moves and 0.0 if not; the metric is the mean, in [0, 1].

    A clip moves if in at least a quarter of its windows of 9 frames `speeds` is above 6/256 of the shorter side. Not
    seen are motion back and forth within a window and what leaves the picture within a few frames; in clips of fewer
    than 6 frames strong noise may pass. Raises ValueError for a single frame.
    """
    if videos.ndim != 5 or videos.shape[1] < 2:
        raise ValueError(f"dynamic degree needs videos (N, T >= 2, 3, H, W), got {videos.shape}")
    return np.array([float(np.mean(speeds(video) > THRESHOLD) >= 0.25) for video in videos])


def speeds(video: NDArray[np.uint8]) -> NDArray[np.float64]:
    """
    For each window of a clip (T, 3, H, W), the mean net displacement a frame of the fastest 5 % of its points.

    The unit is the shorter side. Points that get lost or go nowhere count as standing still. The flow is OpenCV's DIS
    (medium) on frames smoothed in space and time, with brightness and contrast made equal.
    """
    frames = _steady(video)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    steps = [_step(flow, before, after) for before, after in pairwise(frames)]
    length = min(STEPS, len(steps))
    windows = [_net(steps[first : first + length]) for first in range(len(steps) - length + 1)]
    fastest = [np.sort(net, axis=None)[-max(1, round(FASTEST * net.size)) :].mean() for net in windows]
    return np.asarray(np.array(fastest, np.float64) / (length * min(frames.shape[1:])))


@dataclass(frozen=True)
class Step:
    """Flow (H, W, 2) from one frame to the next in pixels, and where it is motion (H, W): 1, elsewhere 0."""

    flow: Floats
    moving: Floats


def _step(dis: cv2.DISOpticalFlow, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Step:
    flow, back = (dis.calc(a, b, np.zeros((*a.shape, 2), np.float32)) for a, b in ((before, after), (after, before)))
    places = _grid(before.shape) + flow
    returned = np.linalg.norm(flow + _at(back.astype(np.float32), places), axis=-1)
    consistent = returned < 0.25 * np.linalg.norm(flow, axis=-1)
    here, there = before.astype(np.float32), after.astype(np.float32)
    window = (FLOW_SIDE // 8, FLOW_SIDE // 8)
    standing = cv2.blur((there - here) ** 2, window)
    following = cv2.blur((_at(there, places) - here) ** 2, window)
    return Step(flow.astype(np.float32), (consistent & (following < standing / 2)).astype(np.float32))


def _net(steps: list[Step]) -> Floats:
    """Net displacement (H, W) in pixels of the points of the first frame; 0 for those that get lost or go nowhere."""
    start = _grid(steps[0].moving.shape)
    places, seen, path = start, np.zeros_like(steps[0].moving), np.zeros_like(steps[0].moving)
    for step in steps:
        seen = seen + _at(step.moving, places)
        moved = _at(step.flow, places)
        path = path + np.linalg.norm(moved, axis=-1)
        places = places + moved
    net = np.linalg.norm(places - start, axis=-1)
    return np.asarray(net * ((seen >= LASTING * len(steps)) & (net >= STRAIGHT * path)), np.float32)


def _steady(video: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey frames (T, H', W') of equal mean and contrast, smoothed, the shorter side `FLOW_SIDE`."""
    grey = np.stack([_grey(frame) for frame in video])
    padded = np.concatenate([grey[:1], grey, grey[-1:]])
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    centred = smooth - smooth.mean((1, 2), keepdims=True)
    contrast = centred.std((1, 2), keepdims=True)
    equal = centred * (np.median(contrast) / np.maximum(contrast, 1e-3))
    return np.asarray(np.clip(np.rint(equal - equal.min()), 0, 255), np.uint8)


def _grey(frame: NDArray[np.uint8]) -> Floats:
    grey = cv2.cvtColor(np.ascontiguousarray(frame.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = grey.shape
    scale = FLOW_SIDE / min(height, width)
    size = (round(width * scale), round(height * scale))
    resized = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(resized, (0, 0), BLUR * FLOW_SIDE), np.float32)


def _grid(shape: tuple[int, ...]) -> Floats:
    """Coordinates (H, W, 2) of every pixel, x first."""
    rows, columns = np.indices(shape, np.float32)
    return np.stack([columns, rows], axis=-1)


def _at(values: Floats, places: Floats) -> Floats:
    """`values` (H, W, ...) at `places` (H, W, 2), bilinearly; the border's value outside."""
    x, y = (np.ascontiguousarray(places[..., axis]) for axis in (0, 1))
    read = cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, np.float32)
