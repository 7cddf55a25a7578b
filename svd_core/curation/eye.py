"""Pictures of decoded frames at the sizes that curation looks at, taken from the planes in which the decoder left them.

Most pixels are never touched: thumbnails are averages of a few points, and nothing is converted at its full size.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from svd_core.curation.cuts import SIDE
from svd_core.curation.detectors import Thumbnail
from svd_core.data.video import Image

LOOKS_PER_S = 2
"""Pictures a second that scores see: the rate of the paper's optical flow."""
LOOK_SIDE = 256
"""Their shortest side, in pixels."""
LINES = 2
"""Lines of a frame over which one of a thumbnail is averaged: a pixel costs little more than one in its neighbourhood
that is in the cache already, but others cost as much as decoding them."""
FULL_RANGE = 2
LUMA = {1: (0.2126, 0.0722), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
"""Weights of red and blue in the brightness, by FFmpeg's number of a colour space; all others are taken for BT.601."""
BT601 = (0.299, 0.114)

Plane = NDArray[Any]


@dataclass(frozen=True)
class Look:
    """A picture, RGB (H, W, 3), upright, and its time stamp."""

    pts: int
    image: Image


class Eye:
    """Thumbnails of all frames of a video and looks at some."""

    def __init__(self, time_base: Fraction) -> None:
        self._converter = VideoReformatter()
        self._period = 1 / (LOOKS_PER_S * time_base)
        self._begin: int | None = None
        self._next = 0

    def thumbnail(self, frame: av.VideoFrame) -> Thumbnail:
        """BGR, shortest side about `SIDE`."""
        frame = self._planar(frame)
        luma, *chroma = _planes(frame)
        factor = max(1, min(luma.shape) // SIDE)
        size = (luma.shape[1] // factor, luma.shape[0] // factor)
        parts = [_sampled(luma, size, LINES), *(_sampled(plane, size, 1) for plane in chroma)]
        return cv2.cvtColor(_coloured(frame, parts), cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)

    def look(self, frame: av.VideoFrame, pts: int) -> Look | None:
        """A picture of the first frame of every half second, null for the others."""
        if self._begin is not None and pts < self._next:
            return None
        self._begin = pts if self._begin is None else self._begin
        self._next = self._begin + ceil(((pts - self._begin) // self._period + 1) * self._period)
        scale = min(1.0, LOOK_SIDE / min(frame.width, frame.height))
        size = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
        planar = self._planar(frame)
        image = _coloured(planar, [_reduced(plane, size) for plane in _planes(planar)])
        return Look(pts, np.ascontiguousarray(np.rot90(image, frame.rotation // 90)))

    def _planar(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame itself, if its brightness and colours lie in three planes; else converted so."""
        if _has_planes(frame.format.name) and frame.planes[0].line_size > 0:
            return frame
        return self._converter.reformat(frame, format="yuv420p", threads=1)


@cache
def _has_planes(pixels: str) -> bool:
    """Whether a pixel format is planar YUV, of up to 16 bits."""
    known = av.VideoFormat(pixels)
    parts = known.components
    yuv = (
        known.is_planar and not known.is_rgb and not known.is_big_endian and [part.plane for part in parts] == [0, 1, 2]
    )
    return yuv and all(8 <= part.bits <= 16 for part in parts)


@cache
def _depth(pixels: str) -> int:
    return av.VideoFormat(pixels).components[0].bits


def _planes(frame: av.VideoFrame) -> list[Plane]:
    """Brightness and colours where the decoder left them, (h, w) each; they are gone when the frame is."""
    kind: Any = np.uint8 if _depth(frame.format.name) == 8 else np.uint16
    buffers: tuple[Any, ...] = frame.planes
    return [np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width] for plane in buffers]


def _sampled(plane: Plane, size: tuple[int, int], lines: int) -> Plane:
    """Averaged over the whole width, but over no more than so many lines each."""
    rows, columns = (max(1, length // wanted) for length, wanted in zip(plane.shape, size[::-1], strict=True))
    step = max(1, rows // lines)
    part = plane[step // 2 : size[1] * rows : step, : size[0] * columns]
    return cv2.resize(part, size, interpolation=cv2.INTER_AREA)


def _reduced(plane: Plane, size: tuple[int, int]) -> Plane:
    """Averaged down by a whole factor, which is quick, and then to the size."""
    factor = min(plane.shape[1] // size[0], plane.shape[0] // size[1])
    if factor > 1:
        whole = (plane.shape[1] // factor, plane.shape[0] // factor)
        plane = cv2.resize(plane[: whole[1] * factor, : whole[0] * factor], whole, interpolation=cv2.INTER_AREA)
    return cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)


def _coloured(frame: av.VideoFrame, parts: list[Plane]) -> Image:
    """RGB of brightness and colours that have been brought to one size."""
    depth = _depth(frame.format.name)
    merged = cv2.merge(parts)
    if depth > 8:
        merged = cv2.convertScaleAbs(merged, alpha=2.0 ** (8 - depth))
    full = frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj")
    return cv2.transform(merged, _matrix(frame.colorspace, full)).astype(np.uint8, copy=False)


@cache
def _matrix(colour_space: int, full_range: bool) -> NDArray[np.float32]:
    """From (Y, Cb, Cr, 1) to RGB, in levels (ITU-R BT.601 and its like)."""
    red, blue = LUMA.get(colour_space, BT601)
    green = 1 - red - blue
    luma, chroma, black = (1.0, 2.0, 0.0) if full_range else (255 / 219, 2 * 255 / 224, 16.0)
    u, v = chroma * (1 - blue), chroma * (1 - red)
    rows = np.array([[luma, 0, v], [luma, -u * blue / green, -v * red / green], [luma, u, 0]])
    return np.column_stack([rows, -rows @ [black, 128, 128]]).astype(np.float32)
