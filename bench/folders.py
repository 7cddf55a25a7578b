"""Folders of video files as sets of clips: what is in them, whether it can be compared, and one clip at a time."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.metrics.protocols import Protocol, Start
from svd_core.data.video import Video, VideoError

SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".gif")
SAME_RATE = 1e-3
"""Frame rates closer than this, relatively, are one (30 and 29.97 are two)."""

Pixels = NDArray[np.uint8]
Spread = Callable[[Callable[["VideoFile"], Any], Sequence["VideoFile"]], Iterable[Any]]
"""Applies a function to every file and gives the results in order: `map`, or a pool's."""


@dataclass(frozen=True)
class VideoFile:
    """One video of a set: `name` is its path within the folder, `sha256` that of its bytes, `frames` their number."""

    path: Path
    name: str
    sha256: str
    frames: int
    fps: float
    height: int
    width: int


@dataclass(frozen=True)
class Sampling:
    """
    Which frames of a file are judged: the protocol's, from `start`, after resampling to `fps` and `size` if given.

    `fps` in frames a second (the nearest frame in time is taken), `size` as (height, width) in pixels (by area).
    """

    protocol: Protocol
    start: Start
    fps: float | None = None
    size: tuple[int, int] | None = None

    @property
    def span(self) -> int:
        """Frames from the first to the last of a clip, both included."""
        return (self.protocol.frames - 1) * self.protocol.stride + 1

    def length(self, file: VideoFile) -> int:
        """Frames of the file at the rate asked for."""
        return file.frames if self.fps is None else int(file.frames * self.fps / file.fps + 1e-9)

    def starts(self, file: VideoFile) -> list[int]:
        """Where its clips begin, in frames at the rate asked for. Raises VideoError if it is too short for them."""
        step, length = self.protocol.frames * self.protocol.stride, self.length(file)
        fitting = (length - self.span) // step + 1 if length >= self.span else 0
        count = self.protocol.clips_per_video or max(fitting, 1)
        needed = (count - 1) * step + self.span
        if length < needed:
            resampled = f" at {self.fps:g} fps" if self.fps else ""
            clips = f"{count} clips of " if count > 1 else ""
            raise VideoError(
                file.path,
                f"is too short: {length} frames{resampled}, and protocol {self.protocol.name!r} needs {needed} "
                f"({clips}{self.protocol.frames} frames, stride {self.protocol.stride})",
            )
        room = length - needed
        drawn = int(file.sha256[:15], 16) % (room + 1)  # by content: no other order or name changes it
        first = {"first": 0, "centre": room // 2, "random": drawn}[self.start]
        return [first + number * step for number in range(count)]

    def clips(self, file: VideoFile) -> Iterator[Pixels]:
        """Its clips, uint8 (T, 3, H, W), in order; no more than one is in memory. Raises VideoError for damage."""
        rate = 1.0 if self.fps is None else file.fps / self.fps
        starts = self.starts(file)
        wanted = [
            min(round((start + step) * rate), file.frames - 1)
            for start in starts
            for step in range(0, self.span, self.protocol.stride)
        ]
        clip: list[Pixels] = []
        for image in _frames(file.path, wanted):
            clip.append(self._sized(image))
            if len(clip) == self.protocol.frames:
                yield np.ascontiguousarray(np.stack(clip).transpose(0, 3, 1, 2))
                clip = []

    def _sized(self, image: Pixels) -> Pixels:
        if self.size is None or image.shape[:2] == self.size:
            return image
        return cv2.resize(image, self.size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def open_folder(folder: Path) -> list[VideoFile]:
    """
    All videos in `folder` and below, by name. Headers are read and bytes digested; nothing is decoded.

    Raises ValueError for a folder that is missing or holds no video, VideoError for a file that is no readable video.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not paths:
        raise ValueError(f"{folder} holds no videos ({', '.join(SUFFIXES)})")
    named = sorted((path.relative_to(folder).as_posix(), path) for path in paths)
    return [_video_file(path, name) for name, path in named]


def check_alike(sets: Sequence[Sequence[VideoFile]], sampling: Sampling) -> None:
    """
    Refuse what cannot be compared: mixed frame rates or sizes, within a set or between sets, unless they are resampled.

    Raises VideoError naming the first file that differs from the very first one.
    """
    files = [file for files in sets for file in files]
    first = files[0]
    for file in files:
        if sampling.fps is None and abs(file.fps - first.fps) > SAME_RATE * first.fps:
            raise VideoError(
                file.path,
                f"has {file.fps:g} frames a second, {first.path} has {first.fps:g}: give --fps to resample both",
            )
        sized = sampling.size or sampling.protocol.crop
        if sized is None and (file.height, file.width) != (first.height, first.width):
            raise VideoError(
                file.path,
                f"is {file.height}x{file.width}, {first.path} is {first.height}x{first.width} (height x width): "
                "give --size to resize all, or a protocol that crops",
            )


def _video_file(path: Path, name: str) -> VideoFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with Video(path) as video:
        frames = video.announced_frames or sum(1 for _ in video)
        return VideoFile(path, name, digest, frames, video.fps, video.height, video.width)


def _frames(path: Path, wanted: Sequence[int]) -> Iterator[Pixels]:
    """The frames with these numbers, which do not decrease; a frame is given as often as it is wanted."""
    with Video(path) as video:
        numbers = iter(wanted)
        number = next(numbers, None)
        for index, frame in enumerate(video):
            while number == index:
                yield frame.image
                number = next(numbers, None)
            if number is None:
                return
    raise VideoError(path, f"has no frame {number}, though its header promises it")
