"""What is kept of a clip's pictures: a few small frames, to score, caption and show it without decoding."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

FRAMES = 9
"""Evenly spaced from the first to the last; the middle one is the fifth."""
SIDE = 256
"""Shortest side of a kept frame in pixels; smaller ones keep their size."""
QUALITY = 95
"""Of the JPEG: some 20 to 40 KB a frame."""


@dataclass(frozen=True)
class View:
    """`FRAMES` frames of a clip as JPEG. Scores are taken from these and never from what they were before, so that
    scoring again gives the same numbers.
    """

    frames: tuple[bytes, ...]

    @classmethod
    def of(cls, images: list[NDArray[np.uint8]]) -> Self:
        """Pick, reduce and encode frames of a clip's RGB images (H, W, 3); a short clip repeats some."""
        places = np.linspace(0, len(images) - 1, FRAMES).round().astype(int)
        encoded = {place: _encoded(images[place]) for place in set(places.tolist())}
        return cls(tuple(encoded[place] for place in places.tolist()))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The view that `to_bytes` gave. Raises ValueError for anything else."""
        lengths = np.frombuffer(content[: 4 * FRAMES], dtype="<u4").tolist()
        ends = np.cumsum([4 * FRAMES, *lengths]).tolist()
        if len(lengths) != FRAMES or ends[-1] != len(content):
            raise ValueError(f"expected {FRAMES} frames of a clip, found {len(content)} other bytes")
        return cls(tuple(content[start:end] for start, end in pairwise(ends)))

    def to_bytes(self) -> bytes:
        """The frames one after the other, behind their lengths."""
        lengths = np.array([len(frame) for frame in self.frames], dtype="<u4")
        return lengths.tobytes() + b"".join(self.frames)

    def images(self) -> list[NDArray[np.uint8]]:
        """All frames, uint8 RGB (H, W, 3). Raises ValueError where one is damaged."""
        return [_decoded(frame) for frame in self.frames]

    def keyframes(self) -> list[NDArray[np.uint8]]:
        """First, middle and last frame (paper, Stage II annotation)."""
        return [_decoded(self.frames[place]) for place in (0, FRAMES // 2, FRAMES - 1)]


def _encoded(image: NDArray[np.uint8]) -> bytes:
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / min(height, width))
    size = (round(width * scale), round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return jpeg.tobytes()


def _decoded(jpeg: bytes) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"a kept frame of {len(jpeg)} bytes is no JPEG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)
