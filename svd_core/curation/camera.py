"""How the camera moves over a clip: the subsets of the paper's camera-motion LoRAs (horizontal, zoom, static).

Corners spread over the whole picture are tracked twice a second (Lucas-Kanade, forwards and back) and a similarity
transform is fitted to them by RANSAC. It counts as the camera's motion only if what follows it surrounds the picture:
a large object that moves in front of a blank wall says nothing of the camera.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

CameraMotion = Literal["horizontal", "zoom", "static", "other"]

FPS = 2.0
SIDE = 144
BLOCK = 12
"""One corner at most in each square of so many pixels."""
TEXTURE = 2e-4
"""Smallest eigenvalue of the gradients' covariance (levels 0 … 1 a pixel, squared) that makes a corner."""
DRIFT = 1.0
"""Pixels by which a corner tracked forwards and back may miss itself."""
TOLERANCE = 1.5
"""Pixels by which a corner that follows the camera may miss the fit: one per cent of the shortest side."""
FOLLOWING = 0.3
"""Share of the corners that must follow the camera: a face that fills half of the picture leaves no more."""
SIDES = 3
"""Edges of the picture (outer thirds) that must hold some of them."""
STILL = 0.015
MOVING = 0.03
"""Shortest sides a second: slower than `STILL` is static; from `MOVING` on it is a motion, zoom measured at half a side
from the centre. What lies between is neither."""
STEADY = 0.6
"""Net over total motion of a pan or zoom; less is shaking."""
METHOD = f"similarity of tracked corners@{FPS:g}fps,{SIDE}px; static < {STILL:g}, moving >= {MOVING:g} sides/s"


@dataclass(frozen=True)
class Step:
    """The camera between two frames: shift of the picture's centre in shortest sides (x, y), and log of the scale."""

    x: float
    y: float
    zoom: float


def camera_motion(pictures: list[NDArray[np.uint8]]) -> CameraMotion | None:
    """The class of a clip, from RGB pictures (H, W, 3) half a second apart; null when most steps cannot be followed.

    A camera that moves forwards expands the picture as a zoom does, and is called so.
    """
    found = [camera_step(before, after) for before, after in pairwise(map(_grey, pictures))]
    steps = [step for step in found if step is not None]
    if not steps or 2 * len(steps) < len(found):
        return None
    return classify(steps)


def classify(steps: list[Step]) -> CameraMotion:
    """The class of a clip from the steps that could be followed."""
    moves = np.array([(step.x, step.y, step.zoom / 2) for step in steps]) * FPS
    total = np.abs(moves).mean(axis=0)
    x, y, zoom = np.abs(moves.mean(axis=0))
    if max(np.hypot(total[0], total[1]), total[2]) < STILL:
        return "static"
    if zoom >= MOVING and zoom > np.hypot(x, y) and zoom >= STEADY * total[2]:
        return "zoom"
    if x >= MOVING and x > 2 * max(y, zoom) and x >= STEADY * total[0]:
        return "horizontal"
    return "other"


def camera_step(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Step | None:
    """The camera's motion between two grey frames; null where too little of the picture follows one."""
    start = _corners(before)
    if len(start) < 2 * SIDES:
        return None
    end, forth, _ = cv2.calcOpticalFlowPyrLK(before, after, start, start.copy())
    back, returned, _ = cv2.calcOpticalFlowPyrLK(after, before, end, end.copy())
    good = np.all([forth, returned], axis=(0, 2)) & (np.linalg.norm(start - back, axis=1) < DRIFT)
    if good.sum() < 2 * SIDES:
        return None
    transform, inliers = cv2.estimateAffinePartial2D(start[good], end[good], ransacReprojThreshold=TOLERANCE)
    following = np.zeros(len(start), dtype=bool)
    following[good] = inliers.ravel().astype(bool)
    if transform is None or following.mean() < FOLLOWING or _sides(start[following], before.shape) < SIDES:
        return None
    height, width = before.shape
    centre = np.array([width / 2, height / 2])
    x, y = (transform[:, :2] @ centre + transform[:, 2] - centre) / min(height, width)
    return Step(float(x), float(y), float(np.log(np.hypot(transform[0, 0], transform[1, 0]))))


def _grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    scale = SIDE / min(height, width)
    size = (round(width * scale), round(height * scale))
    return cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(np.uint8)


def _corners(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The best corner (x, y) of every block that has a good one."""
    strength = cv2.cornerMinEigenVal(grey, 3)
    rows, columns = (length // BLOCK for length in grey.shape)
    blocks = strength[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3)
    flat = blocks.reshape(rows, columns, -1)
    row, column = np.nonzero(flat.max(axis=2) > TEXTURE)
    y, x = np.divmod(flat.argmax(axis=2)[row, column], BLOCK)
    return np.stack([column * BLOCK + x, row * BLOCK + y], axis=1).astype(np.float32)


def _sides(points: NDArray[np.float32], shape: tuple[int, ...]) -> int:
    """How many of the picture's four outer thirds hold at least a tenth of the points."""
    x, y = points[:, 0] / shape[1], points[:, 1] / shape[0]
    return sum(int(np.mean(outer) >= 0.1) for outer in (x < 1 / 3, x > 2 / 3, y < 1 / 3, y > 2 / 3))
