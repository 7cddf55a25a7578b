"""Shards: WebDataset tars whose training windows can be read one by one, by their byte range.

A sample `ID` is two members: `ID.npy`, a training window as uint8 (T, H, W, 3), and `ID.json`, its captions and frame
rate. Times, owners and modes are fixed, so that the same samples give the same bytes.
"""

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


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


def read_window(path: Path, offset: int, size: int) -> NDArray[np.uint8]:
    """The training window, uint8 (T, H, W, 3), stored at bytes offset … offset + size of a shard.

    Raises ValueError when those bytes are not such an array.
    """
    with path.open("rb") as shard:
        shard.seek(offset)
        payload = shard.read(size)
    try:
        window = np.load(io.BytesIO(payload), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: no .npy array at bytes {offset}+{size}: {error}") from error
    if not isinstance(window, np.ndarray) or window.dtype != np.uint8 or window.ndim != 4:
        raise ValueError(f"{path}: expected uint8 (T, H, W, 3) at bytes {offset}+{size}")
    return window


def add_member(tar: tarfile.TarFile, name: str, payload: bytes) -> tuple[int, int]:
    """Append one member; return where its payload lies in the file."""
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(payload), 0, 0o644
    tar.addfile(member, io.BytesIO(payload))
    padded = -(-len(payload) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return tar.offset - padded, len(payload)
