import cv2
import numpy as np
import pytest

from svd_core.curation.duplicates import LENGTH, LIMIT, duplicates, fingerprint
from svd_core.data.video import Image, Video, write_h264


def picture(seed: int, shift: int = 0) -> Image:
    """A smooth random picture, 96 x 160, moved by some pixels."""
    knots = np.random.default_rng(seed).integers(60, 196, (5, 8, 3), dtype=np.uint8)
    large = cv2.resize(knots, (200, 96), interpolation=cv2.INTER_CUBIC)
    return large[:, shift : shift + 160]


def names(count: int) -> list[str]:
    return [f"clip{row:05d}" for row in range(count)]


def test_a_copy_that_was_encoded_and_resized_is_found(tmp_path) -> None:  # type: ignore[no-untyped-def]
    frames = [picture(1, shift) for shift in range(12)]
    write_h264(tmp_path / "copy.mp4", [cv2.resize(frame, (80, 48)) for frame in frames], fps=8)
    with Video(tmp_path / "copy.mp4") as video:
        copy = [frame.image for frame in video]
    others = [[picture(seed, shift) for shift in range(12)] for seed in range(2, 40)]
    prints = np.stack([fingerprint([clip[0], clip[6], clip[-1]]) for clip in [*others, frames, copy]])
    assert duplicates(prints, names(40)) == [None] * 39 + ["clip00038"]


def test_noise_within_half_the_limit_is_nearly_always_found_and_beyond_it_never() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(30, 226, (1000, LENGTH)).astype(np.float64)
    for level, low, high in ((LIMIT / 2, 0.98, 1.0), (1.3 * LIMIT, 0.0, 0.0)):
        noise = rng.normal(size=base.shape)
        noise *= level / np.sqrt((noise**2).mean(axis=1, keepdims=True))
        found = duplicates(np.concatenate([base, base + noise]).round().astype(np.uint8), names(2000))
        share = np.mean([original is not None for original in found])
        assert low / 2 <= share <= high / 2


def test_groups_refer_to_their_first_clip_whatever_the_order() -> None:
    base = np.random.default_rng(0).integers(0, 256, (50, LENGTH), dtype=np.uint8)
    prints, ids = np.concatenate([base, base[:3], base[:1]]), names(54)
    expected = dict(zip(ids, [None] * 50 + [*ids[:3], ids[0]], strict=True))
    order = np.random.default_rng(1).permutation(54)
    found = duplicates(prints[order], [ids[row] for row in order])
    assert dict(zip((ids[row] for row in order), found, strict=True)) == expected


@pytest.mark.parametrize("count", [0, 1, 300])
def test_no_clips_and_blank_ones(count: int) -> None:
    found = duplicates(np.zeros((count, LENGTH), np.uint8), names(count))
    assert found == [None] * min(count, 1) + ["clip00000"] * (count - 1 if count else 0)
