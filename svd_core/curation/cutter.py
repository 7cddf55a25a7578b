"""Clips out of a video file: the coded stream copied from keyframe to keyframe, or frames encoded again exactly.

Paper, appendix (keyframe-aware clipping): each cut point moves to the nearest keyframe that does not cross the cut, and
clips are taken by seeking, without encoding. Time stamps are integers of the stream's time base throughout.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from svd_core.curation.scan import Stretch
from svd_core.data.video import VideoError, shown_at

if TYPE_CHECKING:
    from svd_core.data.video import Packet

CONTAINERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska"}
"""Suffix and format of a clip's file: the first one that can hold the source's codec."""
X264 = {"preset": "veryfast", "crf": "18", "x264-params": "mbtree=0"}
"""Without the macroblock tree: with it, one run in some hundred codes the first of the same pictures otherwise."""


@dataclass(frozen=True)
class Cut:
    """A clip's file and what is in it: as many frames from `start_pts` on, the last one before `end_pts`."""

    path: Path
    start_pts: int
    end_pts: int
    num_frames: int


def inward(stretch: Stretch) -> tuple[int, int] | None:
    """First and last keyframe of a stretch, between which it can be copied; null where there are not two."""
    if len(stretch.keyframes) < 2 or stretch.keyframes[-1] <= stretch.keyframes[0]:
        return None
    return stretch.keyframes[0], stretch.keyframes[-1]


class Cutter:
    """Takes clips out of one video file. Raises VideoError where the file does not give what its scan promised."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container: InputContainer = av.open(str(path))
        self._stream: VideoStream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def copy(self, stretch: Stretch, start_pts: int, end_pts: int, stem: Path) -> Cut:
        """Copy the packets between two of the stretch's keyframes into `stem`.mp4 (.mov, .mkv), bit for bit.

        Frames that are shown before the second keyframe but coded after it (an open GOP) cannot be decoded without
        it; they are left out, and the clip's `end_pts` says so.
        """
        packets = list(self._packets(start_pts, end_pts))
        shown = sorted(packet.pts for packet in packets if packet.pts is not None)
        first = bisect_left(stretch.pts, start_pts)
        if not shown or shown != stretch.pts[first : first + len(shown)]:
            raise VideoError(self.path, f"cannot be copied from {start_pts}: packets and decoded frames do not match")
        after = first + len(shown)
        end_pts = stretch.pts[after] if after < len(stretch.pts) else stretch.end_pts
        for packet in packets:  # containers may leave it out; the last frame would then last no time
            pts = packet.pts or 0
            packet.duration = [*shown, end_pts][bisect_right(shown, pts)] - pts
        return Cut(self._mux(packets, stem), start_pts, end_pts, len(shown))

    def encode(self, stretch: Stretch, stem: Path) -> Cut:
        """Encode every frame of the stretch again: H.264, yuv420p, upright, time stamps kept, one thread.

        The last row or column of an odd-sized picture is left out: yuv420p has none.
        """
        path, count = stem.with_suffix(".mp4"), 0
        with _writer(path, "mp4") as container:
            stream = container.add_stream("libx264", rate=_rate(self._stream), options=dict(X264))
            stream.pix_fmt, stream.thread_count = "yuv420p", 1
            stream.time_base = stream.codec_context.time_base = self._time_base
            for pts, image in self._images(stretch.pts[0], stretch.end_pts):
                if not count:
                    stream.height, stream.width = image.shape[:2]
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = pts - stretch.pts[0], self._time_base
                container.mux(stream.encode(frame))
                count += 1
            container.mux(stream.encode())
        if count != len(stretch.pts):
            raise VideoError(self.path, f"gave {count} frames from {stretch.pts[0]} on, not {len(stretch.pts)}")
        return Cut(path, stretch.pts[0], stretch.end_pts, count)

    @property
    def _time_base(self) -> Fraction:
        if not self._stream.time_base:
            raise VideoError(self.path, "does not tell its time base")
        return self._stream.time_base

    def _packets(self, start_pts: int, end_pts: int) -> "Iterator[Packet]":
        """Coded frames from the keyframe at `start_pts` to the one at `end_pts`, in the order of decoding."""
        begun = False
        for packet in self._demuxed(start_pts):
            if packet.pts is None:
                continue
            begun = begun or (packet.is_keyframe and packet.pts == start_pts)
            if begun and packet.is_keyframe and packet.pts >= end_pts:
                return
            if begun and start_pts <= packet.pts < end_pts:
                yield packet

    def _demuxed(self, start_pts: int) -> "Iterator[Packet]":
        """Packets from a keyframe at or before `start_pts` on; from the beginning where seeking does not lead there."""
        self._container.seek(start_pts, stream=self._stream)
        packets = self._container.demux(self._stream)
        first = next(packets)
        if first.pts is None or first.pts > start_pts:
            self._container.seek(self._stream.start_time or 0, stream=self._stream)
            packets = self._container.demux(self._stream)
            first = next(packets)
        yield first
        yield from packets

    def _images(self, start_pts: int, end_pts: int) -> Iterator[tuple[int, np.ndarray]]:
        converter, last = VideoReformatter(), None
        for packet in self._demuxed(start_pts):
            for frame in packet.decode():
                last = frame.pts = shown_at(frame, last, is_avi=self._container.format.name == "avi")
                if frame.pts is not None and frame.pts >= end_pts:
                    return
                if frame.pts is not None and frame.pts >= start_pts:
                    image = converter.reformat(frame, format="rgb24", threads=1).to_ndarray()
                    image = np.rot90(image, frame.rotation // 90)
                    even = image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2]
                    yield frame.pts, np.ascontiguousarray(even)

    def _mux(self, packets: "list[Packet]", stem: Path) -> Path:
        times = _from_zero([packet.pts or 0 for packet in packets])
        for suffix, name in CONTAINERS.items():
            path = stem.with_suffix(f".{suffix}")
            try:
                with _writer(path, name) as container:
                    stream = container.add_stream_from_template(self._stream)
                    stream.time_base = self._time_base
                    for packet, (pts, dts) in zip(packets, times, strict=True):
                        packet.stream, packet.time_base = stream, self._time_base
                        packet.pts, packet.dts = pts, dts
                        container.mux_one(packet)
                return path
            except (av.FFmpegError, ValueError):
                path.unlink(missing_ok=True)
        raise VideoError(self.path, f"codec {self._stream.codec_context.name} fits none of {', '.join(CONTAINERS)}")


def _from_zero(shown: list[int]) -> list[tuple[int, int]]:
    """Times of showing and of decoding, from the times of showing in the order of decoding.

    The source's own times of decoding are no use: some containers leave them out. Frames are decoded at the sorted
    times of showing, moved to before the earliest need.
    """
    ordered = sorted(shown)
    early = max(time - pts for time, pts in zip(ordered, shown, strict=True))
    return [(pts - ordered[0], time - ordered[0] - early) for time, pts in zip(ordered, shown, strict=True)]


def _writer(path: Path, name: str) -> OutputContainer:
    """Without creation time or library versions: equal packets give equal bytes."""
    return av.open(str(path), "w", format=name, options={"fflags": "+bitexact"})


def _rate(stream: VideoStream) -> Fraction:
    return stream.average_rate or stream.guessed_rate or Fraction(25)
