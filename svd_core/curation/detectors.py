"""Where a shot may change: PySceneDetect's detectors, on thumbnails, with what they share computed once.

The decisions are the library's to the bit (a test holds them against it); its own classes convert every frame once per
detector, which cost several times as much as these.
"""

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

Thumbnail = NDArray[np.uint8]

SLOW_FPS = 4.0
"""Frame rate of the detectors for slow transitions."""
SATURATION = 0.5
"""Weight of saturation beside brightness. Hue has none: it is noise where colours are pale."""
WINDOW, RATIO, LEAST = 2, 2.0, 4.0
"""Adaptive: a frame's difference, of so many levels at least, is so many times the mean of two frames on both sides."""
DARK, BRIGHT = 10, 245
"""Threshold: mean levels below and from which on a picture has faded out."""
BINS, CORRELATION = 32, 0.7
"""Histogram: two pictures whose histograms of brightness correlate no better than this differ."""
CONTENT = 12.0
"""Content: the difference, in levels, of two pictures that differ."""
SHORTEST = 2
"""Frames between two points of the same fast detector."""


class Detectors:
    """Adaptive and Threshold (from below and above) look at every frame, Histogram and Content at a few a second."""

    def __init__(self, fps: float) -> None:
        self.slow_step = max(1, round(fps / SLOW_FPS))
        self.count = 0
        self._adaptive, self._dark, self._bright, self._slow = _Adaptive(), _Faded(), _Faded(), _Slow()
        self._last: NDArray[np.uint8] | None = None

    def push(self, small: Thumbnail) -> list[int]:
        """Take the next frame's thumbnail, uint8 BGR (h, w, 3); frames, this one or a few before, to look at."""
        frame, colours = self.count, _hsv(small)
        difference = 0.0 if self._last is None else _difference(self._last, colours)
        level = sum(cv2.sumElems(small)) / small.size
        self._last = colours
        self.count += 1
        points = self._adaptive.push(frame, difference)
        points += self._dark.push(frame, out=level < DARK) + self._bright.push(frame, out=level >= BRIGHT)
        return points if frame % self.slow_step else points + self._slow.push(frame, small, colours)


class _Adaptive:
    """A difference that stands out from those of the frames around it."""

    def __init__(self) -> None:
        self.differences: deque[float] = deque(maxlen=2 * WINDOW + 1)
        self.last = 0

    def push(self, frame: int, difference: float) -> list[int]:
        self.differences.append(difference)
        if len(self.differences) <= 2 * WINDOW:
            return []
        before, (middle, *after) = list(self.differences)[:WINDOW], list(self.differences)[WINDOW:]
        mean = sum([*before, *after]) / (2.0 * WINDOW)
        stands_out = middle >= LEAST and (mean < 1e-5 or middle / mean >= RATIO)
        if not stands_out or frame - WINDOW - self.last < SHORTEST:
            return []
        self.last = frame - WINDOW
        return [self.last]


class _Faded:
    """The first frame that is there again after blank ones."""

    def __init__(self) -> None:
        self.out: bool | None = None
        self.last = 0

    def push(self, frame: int, *, out: bool) -> list[int]:
        back = self.out is True and not out and frame - self.last >= SHORTEST
        self.out = out
        if not back:
            return []
        self.last = frame
        return [frame]


class _Slow:
    """At a few frames a second, a slow change looks like a cut."""

    def __init__(self) -> None:
        self.last: tuple[NDArray[np.uint8], cv2.typing.MatLike] | None = None

    def push(self, frame: int, small: Thumbnail, colours: NDArray[np.uint8]) -> list[int]:
        last, self.last = self.last, (colours, _histogram(small))
        if last is None:
            return []
        changes = (
            cv2.compareHist(last[1], self.last[1], cv2.HISTCMP_CORREL) <= CORRELATION,
            _difference(last[0], colours) >= CONTENT,
        )
        return [frame] * sum(changes)


def _hsv(small: Thumbnail) -> NDArray[np.uint8]:
    return cv2.cvtColor(small, cv2.COLOR_BGR2HSV).astype(np.uint8, copy=False)


def _difference(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Of two HSV pictures: mean absolute difference in levels, weighted over saturation and brightness."""
    saturation, brightness = cv2.sumElems(cv2.absdiff(before, after))[1:3]
    pixels = before.shape[0] * before.shape[1]
    return float((saturation / pixels * SATURATION + brightness / pixels) / (1 + SATURATION))


def _histogram(small: Thumbnail) -> cv2.typing.MatLike:
    luma = cv2.cvtColor(small, cv2.COLOR_BGR2YUV)
    counts = cv2.calcHist([luma], [0], None, [BINS], [0, 256])
    return cv2.normalize(counts, counts).ravel()
