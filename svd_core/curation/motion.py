"""Motion score: mean magnitude of optical flow at 2 frames/s (paper: Stage II annotation).

The mean over time and space of the vectors' *length*: the mean of signed components would call a pan in both directions
static. Its unit is the same for every kind of flow: pixels, at a shortest side of 16 px, per half second. Scores of
different kinds still differ, so thresholds belong to one of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from svd_core.encoders.weights import locate

FPS = 2.0
SIDE = 16
METHOD = "farneback@2fps,16px, mean magnitude"

Image = NDArray[np.uint8]
Flow = NDArray[np.float32]


@dataclass(frozen=True)
class Motion:
    """A kind of flow: `field` gives vectors (h, w, 2), in pixels, from one picture to the next.

    It gets what `reduced` makes of RGB images (H, W, 3) and a size: a shortest side of `side` pixels, and both sides
    multiples of `stride`.
    """

    method: str
    side: int
    field: Callable[[Image, Image], Flow]
    reduced: Callable[[Image, tuple[int, int]], Image]
    stride: int = 1

    def score(self, frames: list[Image], fps: float) -> float | None:
        """Mean magnitude over a clip's RGB frames (H, W, 3), twice a second; null when under half a second."""
        picked = np.round(np.arange(0, len(frames) - 0.5, fps / FPS)).astype(int)
        return self.over([frames[index] for index in picked if index < len(frames)])

    def over(self, picked: list[Image]) -> float | None:
        """Mean magnitude between RGB frames (H, W, 3) that lie half a second apart; null for fewer than two."""
        maps = [self._reduced(frame) for frame in picked]
        if len(maps) < 2:
            return None
        fields = (self.field(before, after) for before, after in pairwise(maps))
        lengths = [float(np.hypot(field[..., 0], field[..., 1]).mean()) for field in fields]
        return float(np.mean(lengths)) * SIDE / self.side

    def _reduced(self, frame: Image) -> Image:
        height, width = frame.shape[:2]
        scale = self.side / min(height, width) / self.stride
        least = self.side // self.stride
        size = (self.stride * max(least, round(scale * width)), self.stride * max(least, round(scale * height)))
        return self.reduced(frame, size)


def motion_score(frames: list[Image], fps: float) -> float | None:
    """The paper's score: Farneback flow on maps of 16 px. It reads fast motion too low and is not monotone for it."""
    return FARNEBACK.score(frames, fps)


def motion(kind: str) -> Motion:
    """`farneback`, `dis`, or `raft` with the weights of that name. Raises MissingWeights."""
    if kind == "raft":
        return raft(locate("raft"))
    return {"farneback": FARNEBACK, "dis": DIS}[kind]


def raft(weights: Path, *, side: int = 448) -> Motion:
    """RAFT (Teed & Deng 2020; paper: Stage III, at 800 x 450) with torchvision's weights from a file of the user's.

    `weights` is the state dict of `raft_large` or `raft_small`, as safetensors; which one is told by its
    shapes. `side` must be a multiple of 8 of at least 128. Raises ValueError for other files.
    """
    from svd_core.encoders.raft import Raft

    return Motion(f"raft@2fps,{side}px, mean magnitude, in pixels at 16 px", side, Raft.load(weights), _area, stride=8)


def _farneback(before: Image, after: Image) -> Flow:
    flow = np.zeros((*before.shape[:2], 2), np.float32)
    cv2.calcOpticalFlowFarneback(
        before, after, flow,
        pyr_scale=0.5, levels=3, winsize=5, iterations=3, poly_n=5, poly_sigma=1.1, flags=0,
    )  # fmt: skip
    return flow


def _dis(before: Image, after: Image) -> Flow:
    nothing = np.empty((1, 1, 2), np.float32)  # a field of the pictures' size would be taken for a first guess
    return np.asarray(_dense_search().calc(before, after, nothing), dtype=np.float32)


@cache
def _dense_search() -> cv2.DISOpticalFlow:
    """Smaller patches than the preset's: half a millisecond a pair."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    search.setPatchSize(4)
    search.setPatchStride(3)
    return search


def _area(image: Image, size: tuple[int, int]) -> Image:
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _grey(image: Image) -> Image:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def _area_grey(image: Image, size: tuple[int, int]) -> Image:
    return _grey(_area(image, size))


def _grey_area(image: Image, size: tuple[int, int]) -> Image:
    """A third of the work."""
    return _area(_grey(image), size)


FARNEBACK = Motion(METHOD, SIDE, _farneback, _area_grey)
"""The paper's."""
DIS = Motion("dis@2fps,96px, mean magnitude, in pixels at 16 px", 96, _dis, _grey_area)
"""Dense inverse search (Kroeger et al. 2016), with small patches: right for shifts up to a fifth of the shortest side
in half a second. Beyond a quarter it loses track."""
