"""What kind of transition a change is, and how far it extends, measured on the thumbnails around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

Kind = Literal["cut", "fade", "dissolve"]

MIN_CHANGE = 8.0
"""Mean absolute difference in levels (0 … 255) between two shots; less is a flash or motion, not a transition."""
FADE_DIP = 0.35
"""A fade takes the contrast below this share of the contrast of both shots."""
CUT_STEP = 0.6
"""Share of the whole change that a hard cut makes in one step."""
CLOSE = 3
"""Frames on both sides of a cut that its step must stand out from, where it must."""
MAX_MOTION = 0.7
"""Motion beside a dissolve changes frames by at most this share of what the dissolve does."""
BLANK = 4.0
"""Standard deviation, in levels, of a thumbnail that shows nothing."""
SHORTEST = 3
"""Steps of the shortest dissolve."""
MAX_BEND = 0.15
"""Largest distance of a dissolve's frames from the straight blend, as a share of the change: motion bends more."""


@dataclass(frozen=True)
class Transition:
    """Frames `start` … `end` (half-open) belong to neither shot; a hard cut has none, so `start == end`."""

    start: int
    end: int
    kind: Kind

    @property
    def frame(self) -> int:
        """First frame of the new shot for a cut, the middle otherwise."""
        return (self.start + self.end) // 2


class Seen:
    """A frame's thumbnail, uint8 BGR (h, w, 3), and what is measured of it: once, however many changes are near it."""

    def __init__(self, number: int, thumbnail: NDArray[np.uint8]) -> None:
        self.number = number
        self.thumbnail = thumbnail
        self._distances: dict[int, np.float32] = {}

    @cached_property
    def levels(self) -> NDArray[np.float32]:
        """Of all colours."""
        return self.thumbnail.astype(np.float32)

    @cached_property
    def contrast(self) -> np.float32:
        """Standard deviation of its grey levels."""
        blue, green, red = np.moveaxis(self.levels, 2, 0)  # a mean over an axis of three is ten times as slow
        return np.float32(((blue + green + red) / 3).std())

    def distance(self, other: Self) -> np.float32:
        """Mean absolute difference, in levels."""
        if other.number not in self._distances:
            self._distances[other.number] = np.abs(self.levels - other.levels).mean()
        return self._distances[other.number]


def contrasts(frames: Sequence[Seen]) -> NDArray[np.float32]:
    """Of all frames, in order."""
    return np.array([frame.contrast for frame in frames], dtype=np.float32)


def fade_in(contrast: NDArray[np.float32]) -> int:
    """Frames that a picture takes to come out of a blank first one; 0 where the first is not blank or nothing comes."""
    if contrast.size < 2 or contrast[0] > BLANK or contrast[0] >= FADE_DIP * contrast.max():
        return 0
    return _ramp(contrast)


def measure(frames: Sequence[Seen], outstanding: float = 0.0) -> Transition | None:
    """Kind and extent of the transition in consecutive frames; null where both ends show the same shot."""
    if frames[-1].distance(frames[0]) < MIN_CHANGE:
        return None
    contrast = contrasts(frames)
    turn = int(contrast.argmin())
    if contrast[turn] < FADE_DIP * min(contrast[: turn + 1].max(), contrast[turn:].max()):
        before, after = _ramp(contrast[turn::-1]), _ramp(contrast[turn:])
        if before > 1 or after > 1:
            return Transition(turn - before + 1, turn + after, "fade")
        frames = [*frames[:turn], *frames[turn + 1 :]]
    return _cut_or_dissolve(frames, outstanding)


def _ramp(contrast: NDArray[np.float32]) -> int:
    """Steps from a blank frame until the contrast stops growing; blank frames at the beginning belong to the ramp."""
    low, high = contrast[0], contrast.max()
    steps = int(np.argmax(contrast > low + 0.1 * (high - low)))
    begin = max(steps - 1, 0)
    while steps + 1 < contrast.size:
        mean_step = (contrast[steps] - contrast[begin]) / max(steps - begin, 1)
        if contrast[steps + 1] - contrast[steps] < 0.3 * mean_step:
            break
        steps += 1
    return steps


def _cut_or_dissolve(frames: Sequence[Seen], outstanding: float) -> Transition | None:
    """A cut makes most of the whole change in one step. A dissolve is a run of larger, equal steps."""
    size = frames[-1].distance(frames[0])
    steps = np.array([after.distance(before) for before, after in pairwise(frames)])  # steps[i]: from frame i to i + 1
    largest = int(steps.argmax())
    around = np.delete(steps[max(0, largest - CLOSE) : largest + CLOSE + 1], min(largest, CLOSE))
    if steps[largest] > CUT_STEP * size and steps[largest] >= outstanding * around.max(initial=0):
        return Transition(largest + 1, largest + 1, "cut")
    if steps.size < SHORTEST:
        return None
    middle = int(np.convolve(steps, np.ones(SHORTEST), mode="same").argmax())
    height = float(steps[max(0, middle - 1) : middle + 2].mean())
    start, end = middle - _run(steps[middle::-1], height), middle + _run(steps[middle:], height)
    if end - start < SHORTEST - 1 or not _is_blend(np.stack([frame.levels for frame in frames[start : end + 2]])):
        return None
    return Transition(start + 1, end + 1, "dissolve")


def _is_blend(frames: NDArray[np.float32]) -> bool:
    """Whether all frames lie on the straight way, at even steps, from the first to a clearly different last one."""
    change = frames[-1] - frames[0]
    size = float(np.abs(change).mean())
    way = np.linspace(0, 1, len(frames), dtype=np.float32)[:, None, None, None]
    off_the_way = float(np.abs(frames - frames[0] - way * change).mean())
    return size >= MIN_CHANGE and off_the_way <= MAX_BEND * size


def _run(steps: NDArray[np.float32], height: float) -> int:
    """How many steps follow the first one that belong to a dissolve, `height` high, and not to motion after it."""
    motion = min(float(np.percentile(steps, 25)), MAX_MOTION * height)
    lower = np.flatnonzero(steps[1:] < (height + motion) / 2)
    return int(lower[0]) if lower.size else steps.size - 1
