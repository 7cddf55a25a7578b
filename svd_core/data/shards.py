"""Shards: WebDataset tars whose training windows can be read one by one, by their byte range.

A sample `ID` is two members: `ID.npy`, a training window as uint8 (T, H, W, 3), or `ID.mp4` (mov, mkv), a whole clip of
a curated video; and `ID.json`, its captions and frame rate. Times, owners and modes are fixed, so that the same samples
give the same bytes.
"""

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray

from svd_core.data.video import Video, VideoError

NPY = b"\x93NUMPY"
"""What a .npy array begins with."""


@dataclass(frozen=True)
class Sample:
    """One clip on its way into a shard. `clip_id` holds no dot: WebDataset keys end at the first one."""

    clip_id: str
    window: NDArray[np.uint8]
    description: dict[str, object]


def write_shard(path: Path, samples: Iterable[Sample], *, scratch: Path) -> list[tuple[int, int]]:
    """Write one tar, visible only when whole; return the (offset, size) of each sample's .npy, in order.

    `scratch` is a folder on the same file system for the half-written file.
    """
    half_written = scratch / f"{path.name}.half"
    ranges = []
    with tarfile.open(half_written, "w", format=tarfile.PAX_FORMAT) as tar:
        for sample in samples:
            payload = io.BytesIO()
            np.save(payload, np.ascontiguousarray(sample.window), allow_pickle=False)
            ranges.append(add_member(tar, f"{sample.clip_id}.npy", payload.getvalue()))
            add_member(tar, f"{sample.clip_id}.json", json.dumps(sample.description, sort_keys=True).encode())
    half_written.replace(path)
    return ranges


def read_window(path: Path, offset: int, size: int, frames: int | None = None) -> NDArray[np.uint8]:
    """The window or clip stored at bytes offset … offset + size of a shard, its first `frames`: uint8 (T, H, W, 3).

    Raises ValueError when those bytes are neither such an array nor a video.
    """
    with path.open("rb") as shard:
        shard.seek(offset)
        payload = shard.read(size)
    if not payload.startswith(NPY):
        return _decoded(payload, f"{path}, bytes {offset}+{size}", frames)
    try:
        window = np.load(io.BytesIO(payload), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: no .npy array at bytes {offset}+{size}: {error}") from error
    if not isinstance(window, np.ndarray) or window.dtype != np.uint8 or window.ndim != 4:
        raise ValueError(f"{path}: expected uint8 (T, H, W, 3) at bytes {offset}+{size}")
    return window[:frames]


def _decoded(payload: bytes, place: str, frames: int | None) -> NDArray[np.uint8]:
    """The first frames of a clip's video, upright."""
    with NamedTemporaryFile() as file:
        file.write(payload)
        file.flush()
        try:
            with Video(Path(file.name)) as video:
                images = [frame.image for frame in islice(video, frames)]
                turns = video.rotation // 90
        except VideoError as error:
            raise ValueError(f"{place}: neither an array nor a whole video; it {error.what}") from error
    return np.ascontiguousarray(np.rot90(np.stack(images), turns, axes=(1, 2)))


def add_member(tar: tarfile.TarFile, name: str, payload: bytes) -> tuple[int, int]:
    """Append one member; return where its payload lies in the file."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(payload), 0, 0o644
    tar.addfile(member, io.BytesIO(payload))
    padded = -(-len(payload) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return tar.offset - padded, len(payload)
