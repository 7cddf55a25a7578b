"""Small video files with something in them that moves."""

from pathlib import Path

import numpy as np

from svd_core.data.video import write_h264


def moving_square(seed, frames=12, height=32, width=48):
    """A bright square that wanders over a dark gradient: uint8 (T, H, W, 3)."""
    rng = np.random.default_rng(seed)
    background = np.linspace(0, 80, width)[None, :, None] * rng.random(3)
    video = np.broadcast_to(background, (frames, height, width, 3)).astype(np.uint8).copy()
    row, column = rng.integers(0, height - 12), rng.integers(0, width - 24)
    for t in range(frames):
        video[t, row : row + 10, column + t : column + t + 10] = rng.integers(120, 255, 3)
    return video


def write_videos(folder: Path, names, fps=8, **shape):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        write_h264(path, moving_square(hash_of(folder.name) + number, **shape), fps=fps)
    return folder


def hash_of(word):
    return sum(map(ord, word)) * 100
