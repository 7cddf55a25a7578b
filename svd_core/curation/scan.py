"""One decode of a video of any length: stretches without a transition come out, with pictures twice a second.

Nothing is held of a frame but its time stamp, a thumbnail for the detectors and, twice a second, one picture of 256 px.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import av

from svd_core.curation.cuts import Cascade
from svd_core.curation.eye import Eye, Look
from svd_core.curation.refine import Refined
from svd_core.curation.transitions import Transition
from svd_core.data.video import Image, Video, VideoError


@dataclass(frozen=True)
class Stretch:
    """Consecutive frames of one shot: their time stamps, `end_pts` just after them, and pictures.

    `keyframes` are the time stamps from the first frame to `end_pts` where a copy can begin or end: those of
    keyframes, and the end of the stream.
    """

    pts: list[int]
    end_pts: int
    keyframes: list[int]
    looks: list[Look]

    def seen(self, start_pts: int, end_pts: int) -> list[Image]:
        """The pictures between two time stamps; there may be none in less than half a second."""
        return [look.image for look in self.looks if start_pts <= look.pts < end_pts]


def stretches(
    video: Video,
    cascade: Cascade | Refined,
    *,
    max_s: float,
    trim_s: float,
    at_keyframes: bool,
    beat: Callable[[], None] = lambda: None,
) -> Iterator[Stretch]:
    """What lies between the transitions that `cascade` finds, cut into pieces of at most `max_s` seconds.

    `trim_s` seconds go off beside fades and dissolves. With `at_keyframes`, pieces begin at keyframes where they can.
    `beat` is called at every frame.
    """
    longest, wait = (int(seconds / video.time_base) for seconds in (max_s, cascade.wait_s))
    held = _Held(video, longest, wait, at_keyframes)
    eye = Eye(video.time_base)
    margin = max(1, round(trim_s * cascade.fps)) if trim_s else 0
    for frame in video.decoded():
        beat()
        held.add(frame, eye)
        yield from held.between(cascade.push_thumbnail(eye.thumbnail(frame)), margin)
        yield from held.overlong()
    yield from held.between(cascade.finish(), margin)
    yield from held.pieces(held.first + len(held.pts))


@dataclass
class _Held:
    """What is known of the frames since `first`, the index of the oldest one that no stretch has taken yet.

    Frames before index `begin` belong to none, even where they are still to come. Times are in the stream's units.
    """

    video: Video
    longest: int
    wait: int
    at_keyframes: bool
    first: int = 0
    begin: int = 0
    pts: list[int] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    last_end: int = 0
    size: tuple[int, int] | None = None

    def add(self, frame: av.VideoFrame, eye: Eye) -> None:
        pts = frame.pts or 0
        self.size = self.size or (frame.width, frame.height)
        if self.size != (frame.width, frame.height):
            raise VideoError(self.video.path, f"changes its size at frame {self.video.frames_read}")
        if self.pts and pts <= self.pts[-1]:
            raise VideoError(self.video.path, f"has time stamps that do not grow at frame {self.video.frames_read}")
        step = frame.duration or (pts - self.pts[-1] if self.pts else 1)
        self.last_end = pts + max(1, step)
        if self.first < self.begin:
            self.first += 1
            return
        self.pts.append(pts)
        look = eye.look(frame, pts)
        if look is not None:
            self.looks.append(look)

    def between(self, transitions: Iterator[Transition], margin: int) -> Iterator[Stretch]:
        for transition in transitions:
            off = 0 if transition.kind == "cut" else margin
            yield from self.pieces(transition.start - off)
            self._drop(transition.end + off)

    def overlong(self) -> Iterator[Stretch]:
        """A piece of a shot that is too long already, once no transition can be found in it any more."""
        if self.pts and self.pts[-1] - self.pts[0] > self.longest + self.wait:
            yield from self._take(self._piece(len(self.pts)))

    def pieces(self, end: int) -> Iterator[Stretch]:
        """Give away the frames before index `end`."""
        while end > self.first:
            yield from self._take(self._piece(end - self.first))

    def _piece(self, count: int) -> int:
        """How many of the next `count` frames make one piece that is not too long."""
        limit = self.pts[0] + self.longest
        end = self.pts[count] if count < len(self.pts) else self.last_end
        if end <= limit:
            return count
        if self.at_keyframes:
            keys = self.video.keyframes
            last = bisect_right(keys, limit) - 1
            if last >= 0 and keys[last] > self.pts[0]:
                return min(count, bisect_left(self.pts, keys[last]))
        return min(count, max(1, bisect_right(self.pts, limit) - 1))

    def _take(self, count: int) -> Iterator[Stretch]:
        end_pts = self.pts[count] if count < len(self.pts) else self.last_end
        keys = self.video.keyframes
        inside = keys[bisect_left(keys, self.pts[0]) : bisect_right(keys, end_pts)]
        if count == len(self.pts):
            inside.append(end_pts)
        looks = [look for look in self.looks if look.pts < end_pts]
        yield Stretch(self.pts[:count], end_pts, inside, looks)
        self._drop(self.first + count)

    def _drop(self, end: int) -> None:
        self.begin = end
        count = min(max(0, end - self.first), len(self.pts))
        del self.pts[:count]
        self.first += count
        start = self.pts[0] if self.pts else self.last_end
        self.looks = [look for look in self.looks if look.pts >= start]
        keys = self.video.keyframes
        del keys[: bisect_left(keys, start)]
