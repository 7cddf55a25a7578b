import cv2
import numpy as np
import pytest

from bench.metrics.dynamic_degree import THRESHOLD, dynamic, fastest


def moving_disc(speed, side=64, frames=8):
    """A clip (T, 3, H, W): a textured disc that moves `speed` pixels a frame over grey."""
    texture = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    texture = cv2.GaussianBlur(texture, (0, 0), 2)
    clip = []
    for frame in range(frames):
        shift = np.float32([[1, 0, speed * frame], [0, 1, 0]])
        mask = cv2.circle(np.zeros((side, side), np.uint8), (side // 3, side // 2), side // 4, 255, -1)
        mask, moved = (cv2.warpAffine(image, shift, (side, side)) for image in (mask, texture))
        clip.append(np.where(mask[..., None] > 127, moved, 96).transpose(2, 0, 1))
    return np.stack(clip).astype(np.uint8)


@pytest.mark.parametrize("speed", [2, 4])
def test_speed_is_measured_in_shares_of_the_shorter_side(speed):
    assert np.median(fastest(moving_disc(speed))) == pytest.approx(speed / 64, rel=0.35)


def test_moving_clips_count_and_still_ones_do_not():
    slow = 0.3 * THRESHOLD * 64
    videos = np.stack([moving_disc(0), moving_disc(slow), moving_disc(4)])
    np.testing.assert_array_equal(dynamic(videos), [0, 0, 1])


def test_one_jump_does_not_make_a_clip_dynamic():
    clip = moving_disc(0)
    clip[4:] = moving_disc(4)[4]
    assert dynamic(clip[None])[0] == 0


def test_a_single_frame_is_refused():
    with pytest.raises(ValueError, match="T >= 2"):
        dynamic(np.zeros((2, 1, 3, 8, 8), np.uint8))
