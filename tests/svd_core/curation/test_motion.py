import cv2
import drawn
import numpy as np
import pytest

from svd_core.curation.motion import motion_score


def test_a_still_shot_has_next_to_no_motion() -> None:
    assert motion_score(list(drawn.shot(0, frames=30, speed=0.0)), 10.0) == pytest.approx(0, abs=5e-3)


def test_slow_motion_is_ranked_by_speed() -> None:
    scores = [motion_score(list(drawn.shot(0, frames=30, speed=speed)), 10.0) for speed in (0, 0.1, 0.25, 0.5, 1, 2)]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)


def test_a_pan_there_and_back_is_not_static() -> None:
    knots = np.random.default_rng(0).integers(0, 256, size=(8, 24, 3), dtype=np.uint8)
    texture = cv2.resize(knots, (288, 96), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    frames = [texture[:, offset : offset + 144] for offset in (0, 8, 16, 8, 0)]  # signed flow cancels
    score = motion_score(frames, 2.0)
    assert score is not None
    assert score > 0.5


def test_the_frame_rate_does_not_change_the_score() -> None:
    slow = motion_score(list(drawn.shot(0, frames=24, speed=1.0)), 8.0)
    fast = motion_score(list(drawn.shot(0, frames=72, speed=1 / 3)), 24.0)
    assert slow == pytest.approx(fast, rel=0.05)


def test_too_short_to_tell() -> None:
    assert motion_score(list(drawn.shot(0, frames=3)), 10.0) is None
