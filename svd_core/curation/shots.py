"""Frames in, shots out: what lies between transitions, held in memory only while the shot lasts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from svd_core.curation.cuts import Cascade
from svd_core.curation.transitions import Transition
from svd_core.data.video import Frame, Image

KEPT_SIDE = 256
"""Shortest side, in pixels, of held frames: larger ones are reduced, so that memory does not grow with the source."""
TRIM_S = 0.1
"""Seconds cut off a shot beside a fade or dissolve, on top of the transition itself."""
WAIT_S = 5.0
"""More than the cascade ever needs to be certain of a transition."""


@dataclass(frozen=True)
class Shot:
    """Consecutive frames without a transition: RGB (H, W, 3), their time stamps, and the first one after them."""

    images: list[Image]
    pts: list[int]
    end_pts: int


@dataclass
class _Held:
    """The frames decoded since `first`, the index of the oldest one."""

    first: int = 0
    images: list[Image] = field(default_factory=list)
    pts: list[int] = field(default_factory=list)

    def add(self, frame: Frame) -> None:
        self.images.append(_reduced(frame.image))
        self.pts.append(frame.pts)

    def take(self, end: int) -> Iterator[Shot]:
        """Give away the frames before index `end`, if there are any."""
        count = end - self.first
        if count > 0:
            step = self.pts[-1] - self.pts[-2] if len(self.pts) > 1 else 1
            end_pts = self.pts[count] if count < len(self.pts) else self.pts[-1] + step
            yield Shot(self.images[:count], self.pts[:count], end_pts)
            self.drop(end)

    def drop(self, end: int) -> None:
        count = min(max(0, end - self.first), len(self.images))
        del self.images[:count], self.pts[:count]
        self.first += count


def shots(frames: Iterable[Frame], cascade: Cascade, max_s: float) -> Iterator[Shot]:
    """Split decoded frames at the transitions that `cascade` finds; cut shots over `max_s` seconds in pieces.

    At most `max_s` + 5 seconds of frames are held, none larger than 256 px on the shortest side.
    """
    held = _Held()
    trim = max(1, round(TRIM_S * cascade.fps))
    longest = max(1, round(max_s * cascade.fps))
    wait = round(WAIT_S * cascade.fps)
    for frame in frames:
        held.add(frame)
        yield from _between(held, cascade.push(frame.image), trim, longest)
        if len(held.images) > longest + wait:
            yield from held.take(held.first + longest)
    yield from _between(held, cascade.finish(), trim, longest)
    yield from _pieces(held, held.first + len(held.images), longest)


def _between(held: _Held, transitions: Iterable[Transition], trim: int, longest: int) -> Iterator[Shot]:
    for transition in transitions:
        margin = 0 if transition.kind == "cut" else trim
        yield from _pieces(held, transition.start - margin, longest)
        held.drop(transition.end + margin)


def _pieces(held: _Held, end: int, longest: int) -> Iterator[Shot]:
    while held.first + longest < end:
        yield from held.take(held.first + longest)
    yield from held.take(end)


def _reduced(image: Image) -> Image:
    height, width = image.shape[:2]
    scale = KEPT_SIDE / min(height, width)
    if scale >= 1:
        return image
    size = (round(width * scale), round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
