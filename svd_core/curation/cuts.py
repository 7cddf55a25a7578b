"""Cuts, fades and dissolves: a cascade of detectors fed frame by frame from one decode.

Paper, §3 and appendix: a cascade of detectors at different frame rates and thresholds, so that slow transitions are
caught as well as hard cuts; which ones is unpublished. Here: Adaptive at every frame (hard cuts), Threshold from below
and above at every frame (fades through black and white), Histogram and Content on a few frames a second, where a slow
change looks like a cut. The detectors only point at a change. Its kind and extent are measured on thumbnails.
"""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from svd_core.curation.detectors import Detectors, Thumbnail
from svd_core.curation.transitions import BLANK, Seen, Transition, contrasts, fade_in, measure

SIDE = 24
"""Shortest side of the thumbnails that all of this sees, in pixels."""
HORIZON_S = 1.0
"""Longest distance from where a detector fires to either end of its transition."""


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
        self.horizon = max(2, round(HORIZON_S * fps))
        self.detectors = Detectors(fps)
        self.count = 0
        self.shot_start = 0
        self.oldest = 0
        self.seen: list[Seen] = []
        self.points: list[int] = []
        self.found: list[Transition] = []

    def push(self, frame: NDArray[np.uint8]) -> Iterator[Transition]:
        """Take the next frame, uint8 RGB (H, W, 3); yield the transitions that are now certain, in order."""
        yield from self.push_thumbnail(thumbnail(frame))

    def push_thumbnail(self, small: Thumbnail) -> Iterator[Transition]:
        """Take the next frame as its thumbnail, uint8 BGR with the shortest side about `SIDE`."""
        self.seen.append(Seen(self.count, small))
        self.points += self.detectors.push(small)
        self.count += 1
        if self.ends and self.count == self.horizon + 1:
            yield from self._found(0, fade_in(self._contrast()))
        yield from self._settle(final=False)
        if len(self.seen) > 8 * self.horizon:
            self._forget(min([self.count, *self.points]) - 2 * self.horizon)

    def finish(self) -> Iterator[Transition]:
        """Yield the transitions of the last second."""
        if self.ends and self.count <= self.horizon:
            yield from self._found(0, fade_in(self._contrast()))
        fading = fade_in(self._contrast()[::-1]) if self.ends else 0
        del self.seen[len(self.seen) - fading :]
        self.count -= fading
        yield from self._settle(final=True)
        yield from self._found(self.count, self.count + fading)

    def _contrast(self) -> NDArray[np.float32]:
        """Of at most a second of frames without a transition, the first ones or the last ones."""
        return contrasts(self.seen[-self.horizon - 1 :])

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
        frames = self.seen[first - self.oldest :]
        found = measure(frames, self.outstanding)
        if (
            self.ends
            and found is not None
            and found.kind == "dissolve"
            and min(frames[0].levels.std(), frames[-1].levels.std()) < BLANK
        ):
            found = replace(found, kind="fade")
        return (None if found is None else Transition(found.start + first, found.end + first, found.kind)), last

    def _forget(self, end: int) -> None:
        if end > self.oldest:
            del self.seen[: end - self.oldest]
            self.oldest = end


def thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BGR copy of an RGB frame, shortest side about `SIDE`: reduction by a whole factor is several times quicker."""
    height, width = frame.shape[:2]
    factor = max(1, min(height, width) // SIDE)
    size = (width // factor, height // factor)
    small = cv2.resize(frame[: size[1] * factor, : size[0] * factor], size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2BGR).astype(np.uint8)
