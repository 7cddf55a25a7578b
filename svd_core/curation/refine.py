"""A network's second opinion on transitions: what it does not believe is dropped, what it alone is sure of is added."""

from array import array
from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from svd_core.curation.cuts import Cascade
from svd_core.curation.detectors import Thumbnail
from svd_core.curation.transitions import Transition

SIZE = (48, 27)
"""Width and height of what the network sees."""
WINDOW, STEP = 100, 50
MARGIN = (WINDOW - STEP) // 2
SURE = 0.5
"""Probability from which on a change counts that the cascade did not see (TransNet V2's own threshold)."""
UNLIKELY = 0.1
"""Probability below which a transition of the cascade's is dropped."""
NEAR = 3
"""Frames around a transition within which the network may see it."""


class ChangeNetwork(Protocol):
    """Probabilities (N,) that a shot changes just after each of the frames, uint8 RGB (N, 27, 48, 3)."""

    def changes(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]: ...


class Refined:
    """A cascade whose transitions wait for the network, with the cascade's own face."""

    def __init__(self, cascade: Cascade, network: ChangeNetwork) -> None:
        self.cascade, self.network = cascade, network
        self.fps = cascade.fps
        self.wait_s = 2 * cascade.wait_s + WINDOW / cascade.fps
        self.count = self.judged = self.alone_until = 0
        self.frames: list[NDArray[np.uint8]] = []
        self.chances = array("f")  # 4 bytes a frame: half a megabyte an hour
        self.candidates: list[Transition] = []
        self.found: list[Transition] = []

    def push_thumbnail(self, small: Thumbnail) -> Iterator[Transition]:
        """Take the next frame as its thumbnail, uint8 BGR; yield the transitions that are now certain, in order."""
        self.candidates += self.cascade.push_thumbnail(small)
        frame = cv2.resize(small, SIZE, interpolation=cv2.INTER_LINEAR)
        self.frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).astype(np.uint8))
        self.count += 1
        if self.count == self.judged + STEP + MARGIN:
            self._judge(STEP)
            yield from self._settle(self.judged - round(self.cascade.wait_s * self.fps))

    def finish(self) -> Iterator[Transition]:
        """Yield what is left."""
        self.candidates += self.cascade.finish()
        if self.count > self.judged:
            self._judge(self.count - self.judged)
        yield from self._settle(self.count + NEAR + 1)

    def _judge(self, number: int) -> None:
        """Ask the network about the next frames, with those around them; then keep only what the next ones need."""
        before = min(MARGIN, self.judged)
        self.chances.extend(self.network.changes(np.stack(self.frames))[before : before + number].tolist())
        self.judged += number
        del self.frames[: len(self.frames) - (self.count - self.judged) - MARGIN]

    def _settle(self, end: int) -> Iterator[Transition]:
        """Decide on everything before frame `end`, about which neither side will say more."""
        ready = [t for t in self.candidates if t.end + NEAR < end]
        self.candidates = self.candidates[len(ready) :]
        believed = [t for t in ready if self._highest(t) >= UNLIKELY]
        known = [*self.found[-1:], *believed, *self.candidates]
        limit = min([end, *(t.start - NEAR for t in self.candidates)])
        alone = [t for t in self._sure(limit) if not any(_near(t, other) for other in known)]
        for transition in sorted([*believed, *alone], key=lambda t: t.start):
            self.found.append(transition)
            yield transition

    def _highest(self, transition: Transition) -> float:
        return max(self.chances[max(0, transition.start - NEAR) : transition.end + NEAR], default=1.0)

    def _sure(self, limit: int) -> Iterator[Transition]:
        """Runs of frames before `limit` of which the network is sure: a cut is the last frame or two of a shot."""
        sure = np.array(self.chances[self.alone_until : max(self.alone_until, limit)]) >= SURE
        edges = np.flatnonzero(np.diff(sure.astype(np.int8), prepend=0)) + self.alone_until
        for first, after in edges[: edges.size // 2 * 2].reshape(-1, 2).tolist():
            self.alone_until = after
            is_cut = after - first <= 2
            yield Transition(after if is_cut else first + 1, after, "cut" if is_cut else "dissolve")


def _near(one: Transition, other: Transition) -> bool:
    return one.start <= other.end + NEAR and other.start <= one.end + NEAR
