"""Runs of a task against the true clips that they were given a part of, and the camera's motion in them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from bench.features import Videos
from bench.measures import OF_PAIRS
from bench.metrics.epipolar import consistent_pairs
from svd_core.curation.camera import FPS, camera_motion

Values = NDArray[np.float64]
"""One a clip."""


@dataclass(frozen=True)
class Truth:
    """The true clips: `videos` (N, T, 3, H, W), the frames of each that the run was given, `cameras` (N, T, 3, 4)."""

    videos: Videos
    given: list[int]
    cameras: NDArray[np.float64] | None

    @classmethod
    def load(cls, samples: Path, reference: Path) -> "Truth":
        """From a run's samples and the held-out clips, cut to the samples' number."""
        true = load_file(reference / "clips.safetensors")
        given = json.loads((samples / "given.json").read_text())
        return cls(true["videos"], given, true.get("cameras"))


def against(name: str, videos: Videos, truth: Truth) -> Values:
    """A paired metric of every clip, over the frames that the run was not given. Raises ValueError without cameras."""
    true = truth.videos[: len(videos)]
    if name in OF_ORBITS:
        if truth.cameras is None:
            raise ValueError(f"{name} needs the cameras of orbits; these clips have none")
        return np.array([OF_ORBITS[name](*each) for each in zip(videos, true, truth.cameras, strict=False)])
    new = [number for number in range(videos.shape[1]) if number not in truth.given]
    measure = OF_PAIRS[name]()
    return np.array([measure(ours[new], theirs[new]) for ours, theirs in zip(videos, true, strict=True)])


def _tsed(views: Videos, true: Videos, cameras: NDArray[np.float64]) -> float:
    """The true first view stands in for the generated one, as in `bench.metrics.multiview`."""
    return float(consistent_pairs(np.concatenate([true[:1], views[1:]]), cameras).mean())


OF_ORBITS: dict[str, Callable[[Videos, Videos, NDArray[np.float64]], float]] = {
    "tsed": _tsed,
    "tsed_truth": lambda views, true, cameras: _tsed(true, true, cameras),
}


def camera_share(move: str, videos: Videos, rates: list[float]) -> Values:
    """1.0 for each clip whose camera moves so (`horizontal`, `zoom`, `static`), else 0.0; `rates` in frames/s.

    A clip whose camera cannot be followed moves in no known way: 0.0.
    """
    found = []
    for video, rate in zip(videos, rates, strict=True):
        pictures = video[:: max(1, round(rate / FPS))].transpose(0, 2, 3, 1)
        found.append(float(camera_motion([np.ascontiguousarray(picture) for picture in pictures]) == move))
    return np.array(found)
