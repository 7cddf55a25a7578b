"""Cuts, fades and dissolves: a PySceneDetect cascade fed frame by frame from one decode.

Paper, §3 and appendix: a cascade of detectors at different frame rates and thresholds, so that slow transitions are
caught as well as hard cuts; which ones is unpublished. Here: Adaptive at every frame (hard cuts), Threshold from below
and above at every frame (fades through black and white), Histogram and Content on a few frames a second, where a slow
change looks like a cut. The detectors only point at a change. Its kind and extent are measured on thumbnails.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import (
    AdaptiveDetector,
    ContentDetector,
    FrameTimecode,
    HistogramDetector,
    SceneDetector,
    ThresholdDetector,
)
from scenedetect.common import framerate_to_fraction

Kind = Literal["cut", "fade", "dissolve"]
Thumbnail = NDArray[np.uint8]

SIDE = 24
"""Shortest side of the thumbnails that all of this sees, in pixels."""
HORIZON_S = 1.0
"""Longest distance from where a detector fires to either end of its transition."""
SLOW_FPS = 4.0
"""Frame rate of the detectors for slow transitions."""
WEIGHTS = ContentDetector.Components(delta_hue=0.0, delta_sat=0.5, delta_lum=1.0)
"""No hue: it is noise where colours are pale."""
MIN_CHANGE = 8.0
"""Mean absolute difference in levels (0 … 255) between two shots; less is a flash or motion, not a transition."""
FADE_DIP = 0.35
"""A fade takes the contrast below this share of the contrast of both shots."""
CUT_STEP = 0.6
"""Share of the whole change that a hard cut makes in one step."""
CLOSE = 3
"""Frames on both sides of a dissolve within which it is measured again: motion in the shots blurs its ends."""
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


class Cascade:
    """Feed frames in order with `push`; transitions come out about one second later, the rest from `finish`.

    Memory: one thumbnail (a few kilobytes) a frame of the last seconds, however long the shot.

    `outstanding`: a hard cut's step is at least this many times any other within `CLOSE` frames; what passes close by
    the camera is not. `ends`: fades at the video's beginning and end are transitions too.
    """

    wait_s = 5.0
    """More than it ever needs to be certain of a transition."""

    def __init__(self, fps: float, *, outstanding: float = 0.0, ends: bool = False) -> None:
        self.fps = fps
        self.outstanding, self.ends = outstanding, ends
        self.rate = framerate_to_fraction(fps)
        self.horizon = max(2, round(HORIZON_S * fps))
        self.slow_step = max(1, round(fps / SLOW_FPS))
        self.fast: list[SceneDetector] = [
            AdaptiveDetector(2.0, min_scene_len=2, window_width=2, min_content_val=4.0, weights=WEIGHTS),
            ThresholdDetector(threshold=10, min_scene_len=2, fade_bias=1.0, method=ThresholdDetector.Method.FLOOR),
            ThresholdDetector(threshold=245, min_scene_len=2, fade_bias=1.0, method=ThresholdDetector.Method.CEILING),
        ]
        self.slow: list[SceneDetector] = [
            HistogramDetector(threshold=0.3, bins=32, min_scene_len=1),
            ContentDetector(threshold=12.0, min_scene_len=0, weights=WEIGHTS),
        ]
        self.count = 0
        self.shot_start = 0
        self.oldest = 0
        self.thumbnails: list[Thumbnail] = []
        self.points: list[int] = []
        self.found: list[Transition] = []

    def push(self, frame: NDArray[np.uint8]) -> Iterator[Transition]:
        """Take the next frame, uint8 RGB (H, W, 3); yield the transitions that are now certain, in order."""
        yield from self.push_thumbnail(thumbnail(frame))

    def push_thumbnail(self, small: Thumbnail) -> Iterator[Transition]:
        """Take the next frame as its thumbnail, uint8 BGR with the shortest side about `SIDE`."""
        self.thumbnails.append(small)
        detectors = self.fast + (self.slow if self.count % self.slow_step == 0 else [])
        timecode = FrameTimecode(self.count, self.rate)
        for detector in detectors:
            self.points += [cut.frame_num for cut in detector.process_frame(timecode, small)]
        self.count += 1
        if self.ends and self.count == self.horizon + 1:
            yield from self._found(0, fade_in(self._contrast()))
        yield from self._settle(final=False)
        if len(self.thumbnails) > 8 * self.horizon:
            self._forget(min([self.count, *self.points]) - 2 * self.horizon)

    def finish(self) -> Iterator[Transition]:
        """Yield the transitions of the last second."""
        if self.ends and self.count <= self.horizon:
            yield from self._found(0, fade_in(self._contrast()))
        fading = fade_in(self._contrast()[::-1]) if self.ends else 0
        del self.thumbnails[len(self.thumbnails) - fading :]
        self.count -= fading
        yield from self._settle(final=True)
        yield from self._found(self.count, self.count + fading)

    def _contrast(self) -> NDArray[np.float32]:
        """Of at most a second of frames without a transition, the first ones or the last ones."""
        frames = self.thumbnails[-self.horizon - 1 :]
        return np.array([frame.mean(axis=2, dtype=np.float32).std() for frame in frames], dtype=np.float32)

    def _found(self, start: int, end: int) -> Iterator[Transition]:
        """A fade at either end of the video, if it is longer than nothing."""
        if end > start:
            self.found.append(Transition(start, end, "fade"))
            yield self.found[-1]
            self._forget(end)
            self.shot_start = end

    def _settle(self, *, final: bool) -> Iterator[Transition]:
        """Measure the changes pointed at a while ago, first to last; one that is still going on waits for its end."""
        for point in sorted(self.points):
            if point <= self.shot_start or point >= self.count:
                self.points.remove(point)
                continue
            if not final and self.count - 1 < point + self.horizon:
                return
            transition, last = self._measure(point)
            if transition is not None and transition.end >= last and not final and last < point + 3 * self.horizon:
                return
            self.points.remove(point)
            if transition is not None:
                self.found.append(transition)
                yield transition
                self._forget(transition.end)
                self.shot_start = transition.end

    def _measure(self, point: int) -> tuple[Transition | None, int]:
        """Transition around `point`, and the last frame that was looked at."""
        first = max(self.oldest, point - self.horizon)
        last = self.count - 1
        frames = np.stack(self.thumbnails[first - self.oldest :]).astype(np.float32)
        found = measure(frames, self.outstanding)
        if (
            self.ends
            and found is not None
            and found.kind == "dissolve"
            and min(frames[0].std(), frames[-1].std()) < BLANK
        ):
            found = replace(found, kind="fade")
        return (None if found is None else Transition(found.start + first, found.end + first, found.kind)), last

    def _forget(self, end: int) -> None:
        if end > self.oldest:
            del self.thumbnails[: end - self.oldest]
            self.oldest = end


def thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BGR copy of an RGB frame, shortest side about `SIDE`: reduction by a whole factor is several times quicker."""
    height, width = frame.shape[:2]
    factor = max(1, min(height, width) // SIDE)
    size = (width // factor, height // factor)
    small = cv2.resize(frame[: size[1] * factor, : size[0] * factor], size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2BGR).astype(np.uint8)


def fade_in(contrast: NDArray[np.float32]) -> int:
    """Frames that a picture takes to come out of a blank first one; 0 where the first is not blank or nothing comes."""
    if contrast.size < 2 or contrast[0] > BLANK or contrast[0] >= FADE_DIP * contrast.max():
        return 0
    return _ramp(contrast)


def measure(frames: NDArray[np.float32], outstanding: float = 0.0) -> Transition | None:
    """Kind and extent of the transition in colour frames (N, h, w, 3); null where both ends show the same shot."""
    if float(np.abs(frames[-1] - frames[0]).mean()) < MIN_CHANGE:
        return None
    contrast = frames.mean(axis=3).std(axis=(1, 2))
    turn = int(contrast.argmin())
    if contrast[turn] < FADE_DIP * min(contrast[: turn + 1].max(), contrast[turn:].max()):
        before, after = _ramp(contrast[turn::-1]), _ramp(contrast[turn:])
        if before > 1 or after > 1:
            return Transition(turn - before + 1, turn + after, "fade")
        frames = np.delete(frames, turn, axis=0)
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


def _cut_or_dissolve(frames: NDArray[np.float32], outstanding: float) -> Transition | None:
    """A cut makes most of the whole change in one step. A dissolve is a run of larger, equal steps."""
    size = float(np.abs(frames[-1] - frames[0]).mean())
    steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))  # steps[i] leads from frame i to frame i + 1
    largest = int(steps.argmax())
    around = np.delete(steps[max(0, largest - CLOSE) : largest + CLOSE + 1], min(largest, CLOSE))
    if steps[largest] > CUT_STEP * size and steps[largest] >= outstanding * around.max(initial=0):
        return Transition(largest + 1, largest + 1, "cut")
    if steps.size < SHORTEST:
        return None
    middle = int(np.convolve(steps, np.ones(SHORTEST), mode="same").argmax())
    height = float(steps[max(0, middle - 1) : middle + 2].mean())
    start, end = middle - _run(steps[middle::-1], height), middle + _run(steps[middle:], height)
    if end - start < SHORTEST - 1 or not _is_blend(frames[start : end + 2]):
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
