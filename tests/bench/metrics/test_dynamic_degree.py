import cv2
import numpy as np
import pytest

from bench.metrics.dynamic_degree import THRESHOLD, dynamic, speeds

FRAMES = 10


def moving_disc(speed, side=64, frames=FRAMES):
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


def as_bytes(clip):
    return np.clip(np.rint(clip), 0, 255).astype(np.uint8)


def noisy(clip, sigma, rng):
    return as_bytes(clip + rng.normal(0, sigma, clip.shape))


def gain_flicker(clip, strength, rng):
    return as_bytes(clip * (1 + rng.uniform(-strength, strength, (len(clip), 1, 1, 1))))


def colour_flicker(clip, strength, rng):
    return as_bytes(clip + rng.uniform(-strength, strength, (len(clip), 3, 1, 1)))


def coarse_noise(clip, sigma, rng, cells=16):
    """Noise with the grain size of a small model's artefacts: another blotch in every frame."""
    grains = rng.normal(0, sigma, (len(clip), cells, cells)).astype(np.float32)
    large = [cv2.resize(grain, clip.shape[-2:], interpolation=cv2.INTER_CUBIC) for grain in grains]
    return as_bytes(clip + np.stack(large)[:, None])


def local_flicker(clip, sigma, rng):
    """Parts of the picture that brighten and darken on their own."""
    return coarse_noise(clip, sigma, rng, cells=4)


DISTURBANCES = [
    (noisy, 15),
    (noisy, 50),
    (gain_flicker, 0.3),
    (colour_flicker, 40),
    (coarse_noise, 30),
    (local_flicker, 25),
]


@pytest.mark.parametrize("speed", [2, 3])
def test_speed_is_measured_in_shares_of_the_shorter_side(speed):
    assert np.median(speeds(moving_disc(speed))) == pytest.approx(speed / 64, rel=0.35)


def test_moving_clips_count_and_still_ones_do_not():
    slow = 0.3 * THRESHOLD * 64
    videos = np.stack([moving_disc(0), moving_disc(slow), moving_disc(3)])
    np.testing.assert_array_equal(dynamic(videos), [0, 0, 1])


@pytest.mark.parametrize(("disturb", "strength"), DISTURBANCES)
@pytest.mark.parametrize("side", [32, 64])
def test_flicker_and_noise_are_no_motion(disturb, strength, side):
    rng = np.random.default_rng(0)
    still = np.stack([disturb(moving_disc(0, side), strength, rng) for _ in range(6)])
    np.testing.assert_array_equal(dynamic(still), np.zeros(6))


@pytest.mark.parametrize(
    ("disturb", "strength"),
    [(noisy, 30), (gain_flicker, 0.3), (colour_flicker, 40), (coarse_noise, 10), (local_flicker, 8)],
)
def test_motion_is_seen_through_flicker_and_noise(disturb, strength):
    rng = np.random.default_rng(0)
    moving = np.stack([disturb(moving_disc(3), strength, rng) for _ in range(3)])
    np.testing.assert_array_equal(dynamic(moving), np.ones(3))


def test_a_pan_is_motion_and_shaking_is_not():
    picture = np.random.default_rng(0).integers(0, 256, (100, 160, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 3)
    pan = np.stack([picture[:, 4 * t : 4 * t + 100] for t in range(FRAMES)]).transpose(0, 3, 1, 2)
    shake = np.stack([picture[:, 30 + 6 * (t % 2) : 130 + 6 * (t % 2)] for t in range(FRAMES)]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(dynamic(np.stack([pan, shake])), [1, 0])


def test_one_jump_does_not_make_a_clip_dynamic():
    clip = moving_disc(0)
    clip[4:] = moving_disc(4)[4]
    assert dynamic(clip[None])[0] == 0


def test_size_does_not_matter():
    large = np.stack([moving_disc(2 * speed, side=128) for speed in (0, 3)])
    np.testing.assert_array_equal(dynamic(large), [0, 1])
    wide = np.concatenate([moving_disc(3, side=192)] * 2, axis=-1)[:, :, ::2, ::2]
    assert dynamic(wide[None])[0] == dynamic(moving_disc(1.5, side=96)[None])[0]


def test_a_single_frame_is_refused():
    with pytest.raises(ValueError, match="T >= 2"):
        dynamic(np.zeros((2, 1, 3, 8, 8), np.uint8))
