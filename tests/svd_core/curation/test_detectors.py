"""The cascade's detectors decide as PySceneDetect's own do."""

import drawn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode, HistogramDetector, ThresholdDetector

from svd_core.curation.cuts import thumbnail
from svd_core.curation.detectors import Detectors

WEIGHTS = ContentDetector.Components(delta_hue=0.0, delta_sat=0.5, delta_lum=1.0)


def library(frames: list[NDArray[np.uint8]], fps: float) -> list[list[int]]:
    """Points at each frame, by the library's own classes."""
    fast = [
        AdaptiveDetector(2.0, min_scene_len=2, window_width=2, min_content_val=4.0, weights=WEIGHTS),
        ThresholdDetector(threshold=10, min_scene_len=2, fade_bias=1.0, method=ThresholdDetector.Method.FLOOR),
        ThresholdDetector(threshold=245, min_scene_len=2, fade_bias=1.0, method=ThresholdDetector.Method.CEILING),
    ]
    slow = [
        HistogramDetector(threshold=0.3, bins=32, min_scene_len=1),
        ContentDetector(threshold=12.0, min_scene_len=0, weights=WEIGHTS),
    ]
    points = []
    for number, frame in enumerate(frames):
        detectors = fast + (slow if number % max(1, round(fps / 4)) == 0 else [])
        cuts = [detector.process_frame(FrameTimecode(number, fps), frame) for detector in detectors]
        points.append([cut.frame_num for found in cuts for cut in found])
    return points


def ours(frames: list[NDArray[np.uint8]], fps: float) -> list[list[int]]:
    detectors = Detectors(fps)
    return [detectors.push(frame) for frame in frames]


@pytest.mark.parametrize("fps", [4.0, 10.0, 29.97])
def test_of_drawn_shots(fps: float) -> None:
    shots = [drawn.shot(seed) for seed in range(6)]
    parts = [
        drawn.cut(shots[0], shots[1]),
        drawn.fade(shots[1], shots[2], 6),
        drawn.fade(shots[2], shots[3], 4, 255),
        drawn.dissolve(shots[4], shots[5], 8),
    ]
    frames = [thumbnail(frame) for part in parts for frame in part]
    found = ours(frames, fps)
    assert found == library(frames, fps)
    assert sum(map(len, found)) > 5


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-12, 12), st.integers(1, 5)), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_of_anything(runs: list[tuple[int, int, int]]) -> None:
    """Runs of frames of black, white or one of two noises, lighter by some levels, with a little noise of their own."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, 4, 6, 3))
    pictures = [np.full((4, 6, 3), 8), np.full((4, 6, 3), 247), *noise]
    frames = [
        np.clip(pictures[kind] + change + rng.integers(-2, 3, (4, 6, 3)), 0, 255).astype(np.uint8)
        for kind, change, length in runs
        for _ in range(length)
    ]
    assert ours(frames, 10.0) == library(frames, 10.0)
