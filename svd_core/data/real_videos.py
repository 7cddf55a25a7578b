"""Clips of real videos to measure on: `fetch("bikes")` and its like in `svd_core.encoders.weights` get the files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svd_core.data.video import Video, training_window


def clips_of(path: Path, frames: int, side: int) -> NDArray[np.float32]:
    """A video in clips of `frames` frames, the centre square: float32 (N, T, 3, side, side) in [0, 1]."""
    with Video(path) as video:
        images = [frame.image for frame in video]
    starts = range(0, len(images) - frames + 1, frames)
    windows = [training_window(images[start : start + frames], frames, side) for start in starts]
    return np.stack(windows).transpose(0, 1, 4, 2, 3).astype(np.float32) / np.float32(255)
