"""Clips for raters' browsers: short files that look like the frames and say nothing else."""

import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from bench.preference.ledger import DAMAGED, REAL
from svd_core.data.video import write_h264

Frames = NDArray[np.uint8]
Read = Callable[[str, int | None, int], tuple[Frames, int]]
"""From arm (or real clip), seed and clip number to frames (T, 3, H, W) and their rate."""

SHORTEST = 256
"""Pixels: smaller frames are enlarged by a whole number, so that halved colour resolution cannot be seen."""
OPTIONS = {"preset": "veryfast", "crf": "10", "x264-params": "keyint=1000"}


class Clips:
    """Video files in `folder`, made when first asked for, under names and times that tell nothing."""

    def __init__(self, read: Read, folder: Path) -> None:
        self.read, self.folder = read, folder
        self.secret = secrets.token_bytes(16)
        self.lock = Lock()

    def path(self, side: str, seed: int | None, clip: int) -> Path:
        """The file of one clip; `side` is an arm, `REAL` or `DAMAGED`."""
        name = hashlib.blake2b(f"{side}/{seed}/{clip}".encode(), key=self.secret, digest_size=12).hexdigest()
        path = self.folder / f"{name}.mp4"
        if not path.exists():
            with self.lock:
                if not path.exists():
                    self._write(path, side, seed, clip)
        return path

    def _write(self, path: Path, side: str, seed: int | None, clip: int) -> None:
        frames, fps = self.read(REAL if side == DAMAGED else side, seed, clip)
        frames = enlarged(damaged(frames) if side == DAMAGED else frames)
        beside = path.with_suffix(".timeless")
        write_h264(beside, frames.transpose(0, 2, 3, 1), fps, OPTIONS)
        os.utime(beside, (0, 0))  # it is sent as Last-Modified: files of one arm are often made together
        beside.replace(path)


def damaged(frames: Frames) -> Frames:
    """The clip that an attentive rater never prefers: blocks of one frame in disorder, under heavy noise."""
    draws = np.random.default_rng(0)
    side = max(1, frames.shape[2] // 4)
    rows, columns = frames.shape[2] // side, frames.shape[3] // side
    cut = frames[:, :, : rows * side, : columns * side]
    blocks = cut.reshape(len(frames), 3, rows, side, columns, side).transpose(2, 4, 0, 1, 3, 5)
    mixed = draws.permutation(blocks.reshape(rows * columns, len(frames), 3, side, side)).reshape(blocks.shape)
    whole = mixed.transpose(2, 3, 0, 4, 1, 5).reshape(cut.shape).astype(np.float32)
    noisy = frames.astype(np.float32)
    noisy[:, :, : rows * side, : columns * side] = whole
    return (0.5 * noisy + 0.5 * draws.uniform(0, 255, noisy.shape)).clip(0, 255).astype(np.uint8)


def enlarged(frames: Frames) -> Frames:
    """Frames (T, 3, H, W) with both sides even and the shorter one at least `SHORTEST`, pixels repeated."""
    times = max(1, -(-SHORTEST // min(frames.shape[2:])))
    frames = frames.repeat(times, axis=2).repeat(times, axis=3)
    odd = [(0, 0), (0, 0), (0, frames.shape[2] % 2), (0, frames.shape[3] % 2)]
    return np.pad(frames, odd, mode="edge")
