import cv2
import numpy as np
import pytest

from bench.metrics import motion_smoothness, temporal_flicker


def moving(frames=9, side=64, speed=3.0):
    """A smooth random texture drifting to the right, (1, T, 3, side, side)."""
    rng = np.random.default_rng(0)
    noise = rng.random((side, side + int(frames * speed) + 8, 3)).astype(np.float32)
    wide = cv2.GaussianBlur(noise, (0, 0), 4)
    wide = (wide - wide.min()) / (wide.max() - wide.min())
    shifts = [np.float32([[1, 0, -speed * t], [0, 1, 0]]) for t in range(frames)]
    images = [cv2.warpAffine(wide, shift, (side, side), flags=cv2.INTER_CUBIC) for shift in shifts]
    return np.clip(np.stack(images).transpose(0, 3, 1, 2), 0, 1)[None]


def test_frozen_clips_have_one():
    frozen = moving()[:, :1].repeat(5, axis=1)
    assert temporal_flicker(frozen) == 1
    assert motion_smoothness(frozen) == 1


def test_flicker_is_the_mean_step():
    steps = np.zeros((2, 3, 3, 8, 8))
    steps[:, 1] = 0.2
    steps[1, 2] = 0.4
    np.testing.assert_allclose(temporal_flicker(steps).per_clip, [0.8, 0.8], atol=1e-6)


def test_steady_motion_is_smooth_and_shuffled_frames_are_not():
    clip = moving()
    shuffled = clip[:, [0, 5, 2, 7, 4, 1, 6, 3, 8]]
    smooth, rough = motion_smoothness(clip), motion_smoothness(shuffled)
    assert smooth > 0.98
    assert 1 - rough > 5 * (1 - smooth)
    static = motion_smoothness(clip[:, :1].repeat(9, axis=1))
    assert smooth < static


def test_smoothness_follows_motion_that_steps_do_not_cover():
    """Interpolating without flow would lose two thirds of this error's distance."""
    clip = moving(speed=4.0)
    unmoved = np.abs((clip[0, 0:-2:2] + clip[0, 2::2]) / 2 - clip[0, 1::2]).mean()
    assert 1 - motion_smoothness(clip) < unmoved / 3


@pytest.mark.parametrize(("metric", "frames"), [(temporal_flicker, 2), (motion_smoothness, 3)])
def test_short_clips_are_refused_with_their_index(metric, frames):
    with pytest.raises(ValueError, match=f"clip 0: .* needs at least {frames} frames, got {frames - 1}"):
        metric(np.zeros((2, frames - 1, 3, 8, 8)))


@pytest.mark.parametrize("metric", [temporal_flicker, motion_smoothness])
def test_a_value_a_clip_whatever_the_size(metric):
    videos = np.random.default_rng(0).random((2, 3, 3, 40, 300))
    found = metric(videos)
    assert (found.n, found.frames, found.per_clip.shape) == (2, 3, (2,))
    assert metric(videos[1:]).per_clip[0] == found.per_clip[1]
