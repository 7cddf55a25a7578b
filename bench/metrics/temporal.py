"""Do frames follow each other as in nature? Temporal flicker and motion smoothness, after VBench."""

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.metrics.clips import each_clip
from bench.metrics.result import Result
from bench.metrics.videos import Videos

SIDES = (128, 256)
"""Bounds of the shorter side, in pixels, at which motion is followed: DIS needs room, and more only costs time."""


def temporal_flicker(videos: Videos) -> Result:
    """
    Steadiness of videos (N, T >= 2, 3, H, W) of floats in [0, 1]: in [0, 1], higher flickers less.

    VBench's temporal flickering, 1 - mean |next frame - frame|. Motion counts as flicker, so compare clips of like
    motion, and read it beside `dynamic_degree`: a frozen clip has 1.
    """
    return each_clip(steadiness, videos, name="temporal flicker[1 - MAE]")


def motion_smoothness(videos: Videos) -> Result:
    """
    How well every second frame of videos (N, T >= 3, 3, H, W) of floats in [0, 1] follows from its neighbours.

    VBench's motion smoothness, 1 - mean |interpolated - frame|, in [0, 1], higher is smoother, but with optical flow
    (OpenCV's DIS, medium) in place of the AMT network, whence the name: values are not VBench's. A frozen clip has 1.
    """
    return each_clip(smoothness, videos, name="motion smoothness[DIS flow]")


def steadiness(clip: NDArray[np.uint8]) -> float:
    """`temporal_flicker` of one clip (T, 3, H, W)."""
    if len(clip) < 2:
        raise ValueError(f"temporal flicker needs at least 2 frames, got {len(clip)}")
    return float(1 - np.abs(np.diff(clip.astype(np.float32), axis=0)).mean(dtype=np.float64) / 255)


def smoothness(clip: NDArray[np.uint8]) -> float:
    """`motion_smoothness` of one clip (T, 3, H, W)."""
    if len(clip) < 3:
        raise ValueError(f"motion smoothness needs at least 3 frames, got {len(clip)}")
    frames = [_sized(frame) for frame in clip]
    middles = range(1, len(frames) - 1, 2)
    errors = [np.abs(_between(frames[t - 1], frames[t + 1]) - frames[t]).mean(dtype=np.float64) for t in middles]
    return float(1 - np.mean(errors) / 255)


def _between(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The frame half-way: both neighbours moved by half the flow towards each other, and averaged."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    a, b = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after))
    there, back = (dis.calc(x, y, np.zeros((*x.shape, 2), np.float32)) for x, y in ((a, b), (b, a)))
    halves = np.stack([_moved(before, there.astype(np.float32)), _moved(after, back.astype(np.float32))])
    return np.asarray(halves.mean(0), np.float32)


def _moved(frame: NDArray[np.uint8], flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """`frame` (H, W, 3) carried along half of `flow` (H, W, 2), read off backwards."""
    rows, columns = np.indices(frame.shape[:2], np.float32)
    x, y = columns - flow[..., 0] / 2, rows - flow[..., 1] / 2
    read = cv2.remap(frame.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(read, np.float32)


def _sized(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame (3, H, W) as (H', W', 3) with its shorter side within `SIDES`."""
    image = np.ascontiguousarray(frame.transpose(1, 2, 0))
    height, width = image.shape[:2]
    scale = float(np.clip(min(height, width), *SIDES)) / min(height, width)
    if scale == 1:
        return image
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA), np.uint8)
