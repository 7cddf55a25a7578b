"""Video files in and out: one decode pass over every frame, and H.264 that is the same to the byte each time."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

Image = NDArray[np.uint8]
if TYPE_CHECKING:
    Packet = av.Packet[VideoStream]  # generic for type checkers alone

IDR = 5
"""Type of the H.264 unit after which nothing refers to anything before it."""
H264_OPTIONS = {"preset": "ultrafast", "crf": "23", "x264-params": "scenecut=40:keyint=24:min-keyint=2"}
"""The fastest preset, but with keyframes at scene changes (which it leaves out) and every 24 frames at least."""


class VideoError(ValueError):
    """A video that cannot be read to its end: the message names the file and what happened."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what

    def __reduce__(self) -> tuple[type[Self], tuple[Path, str]]:
        return type(self), (self.path, self.what)


@dataclass(frozen=True)
class Frame:
    """A decoded frame: `image` uint8 RGB (H, W, 3), `pts` in the stream's time base."""

    image: Image
    pts: int
    keyframe: bool


class Video:
    """The first video stream of a file, to be decoded once, frame by frame, on one thread.

    >>> with Video(path) as video:
    ...     for frame in video:
    ...         ...

    Opening and decoding raise VideoError for files that are empty, truncated, damaged, or no video at all. Nothing is
    concealed: a damaged file fails at its first bad packet, and one that ends early is never taken for a short one
    (its frames are counted against what the container announced).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_file() and path.stat().st_size == 0:
            raise VideoError(path, "is an empty file (0 bytes)")
        try:
            self._container: InputContainer = av.open(os.fspath(path))
        except (av.FFmpegError, OSError) as error:
            raise VideoError(path, f"cannot be opened as a video: {_reason(error)}") from error
        if not self._container.streams.video:
            self._container.close()
            raise VideoError(path, "has no video stream")
        self._stream: VideoStream = self._container.streams.video[0]
        decoder = getattr(self._stream, "codec_context", None)
        if decoder is None:
            self._container.close()
            raise VideoError(path, "has a video stream that no decoder knows")
        decoder.thread_count = 1
        decoder.options = {"err_detect": "explode"}
        self.is_avi = self._container.format.name == "avi"
        self.frames_read = 0
        self.rotation = 0
        """Degrees, counter-clockwise, by which the frames read are to be turned to stand upright."""
        self.keyframes: list[int] = []
        """Time stamps of the keyframes read so far where decoding can begin, in the order of decoding."""

    @property
    def width(self) -> int:
        """Pixels."""
        return self._stream.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self._stream.height

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height, in pixels, of the upright picture; known from the first frame on."""
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)

    @property
    def fps(self) -> float:
        """Average frame rate; VideoError where the container does not tell one."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        if not rate:
            raise VideoError(self.path, "does not tell its frame rate")
        return float(rate)

    @property
    def announced_frames(self) -> int | None:
        """How many frames the container says there are; None where it does not say."""
        return self._stream.frames or None

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of `Frame.pts`."""
        time_base = self._stream.time_base
        if not time_base:
            raise VideoError(self.path, "does not tell its time base")
        return time_base

    def __iter__(self) -> Iterator[Frame]:
        converter = VideoReformatter()  # to_ndarray(format=...) sets up a threaded one a frame, at five times the cost
        for decoded in self.decoded():
            image = converter.reformat(decoded, format="rgb24", threads=1).to_ndarray().astype(np.uint8, copy=False)
            yield Frame(image, decoded.pts or 0, decoded.key_frame)

    def decoded(self) -> Iterator[av.VideoFrame]:
        """The frames as the decoder gives them, each with a time stamp; `keyframes` grows along."""
        discarded, last = 0, None
        try:
            for packet in self._container.demux(self._stream):
                discarded += packet.is_discard
                if packet.is_keyframe and packet.pts is not None and self._begins_afresh(packet):
                    self.keyframes.append(packet.pts)
                for decoded in packet.decode():
                    last = decoded.pts = shown_at(decoded, last, is_avi=self.is_avi)
                    if decoded.is_corrupt or decoded.pts is None:
                        raise VideoError(self.path, f"is damaged at frame {self.frames_read}")
                    self.rotation = self.rotation if self.frames_read else decoded.rotation
                    yield decoded
                    self.frames_read += 1
        except (av.FFmpegError, OSError) as error:
            raise VideoError(self.path, f"stops decoding after frame {self.frames_read}: {_reason(error)}") from error
        announced = len(self._stream.index_entries) if self.is_avi else self._stream.frames  # AVI counts gaps as frames
        expected = announced - discarded  # what an edit list leaves out is no loss
        if self.frames_read < max(expected, 1):
            raise VideoError(self.path, f"ends early: {self.frames_read} frames of {max(expected, 0) or 'at least 1'}")

    def _begins_afresh(self, packet: "Packet") -> bool:
        """Whether decoding can begin at a keyframe without an error: at H.264's IDR pictures, not at open GOPs."""
        if self._stream.codec_context.name != "h264":
            return True
        data, header = bytes(packet), self._stream.codec_context.extradata or b""
        if header[:1] != b"\x01":  # start codes between the units, as in MPEG-TS
            return any(unit[0] & 31 == IDR for unit in data.split(b"\0\0\1")[1:] if unit)
        length_size, position = (header[4] & 3) + 1, 0
        while position + length_size < len(data):
            length = int.from_bytes(data[position : position + length_size])
            if data[position + length_size] & 31 == IDR:
                return True
            position += length_size + length
        return False

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def shown_at(frame: av.VideoFrame, last: int | None, *, is_avi: bool) -> int | None:
    """A decoded frame's time stamp, `last` being that of the frame before.

    AVI knows no times of showing, and FFmpeg's guesses at them can be out of order. Its frames are shown in the order
    in which the decoder gives them, one a unit of time.
    """
    if not is_avi:
        return frame.pts
    return frame.dts if frame.dts is not None or last is None else last + 1


def write_h264(path: Path, images: Iterable[Image], fps: int, options: Mapping[str, str] = H264_OPTIONS) -> int:
    """Write uint8 RGB images (H, W, 3; even sizes, all the same) as H.264, yuv420p, in mp4; return their number.

    One encoder thread and no creation time: equal images give equal bytes. The file appears only when whole.
    """
    half_written = path.with_name(f"{path.name}.{os.getpid()}.half")  # no two writers share one
    count = 0
    with av.open(os.fspath(half_written), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options=dict(options))
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        for count, image in enumerate(images, start=1):
            if count == 1:
                stream.height, stream.width = image.shape[:2]
            planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)  # a third of the time that libswscale takes
            frame = av.VideoFrame.from_ndarray(planes.astype(np.uint8, copy=False), format="yuv420p")
            frame.pts, frame.time_base = count - 1, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    half_written.replace(path)
    return count


def training_window(images: list[Image], count: int, resolution: int) -> Image:
    """`count` consecutive frames from the middle of a clip, as uint8 (count, resolution, resolution, 3).

    `images` are RGB (H, W, 3) of one size; the centre square is cut out and resized by area. Raises ValueError when the
    clip has fewer frames than that.
    """
    if len(images) < count:
        raise ValueError(f"a window of {count} frames does not fit into a clip of {len(images)}")
    first = (len(images) - count) // 2
    height, width = images[0].shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    squares = [image[top : top + side, left : left + side] for image in images[first : first + count]]
    size = (resolution, resolution)
    return np.stack([cv2.resize(square, size, interpolation=cv2.INTER_AREA) for square in squares]).astype(np.uint8)


def _reason(error: Exception) -> str:
    """FFmpeg's own words, without the path that they repeat."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
