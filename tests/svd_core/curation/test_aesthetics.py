import cv2
import drawn
import numpy as np
import pytest

from svd_core.curation.aesthetics import MEASURES, measures, typical_looks


@pytest.fixture(scope="module")
def pictures() -> list[drawn.Frames]:
    """150 ordinary frames, then 10 of each kind of poor looks: noise, blur, too dark, too flat."""
    rng = np.random.default_rng(0)
    good = [drawn.shot(seed, frames=1)[0] for seed in range(150)]
    poor = [
        *[np.clip(image + rng.normal(0, 25, image.shape), 0, 255).astype(np.uint8) for image in good[:10]],
        *[cv2.GaussianBlur(image, (0, 0), 4).astype(np.uint8) for image in good[10:20]],
        *[(image * 0.15).astype(np.uint8) for image in good[20:30]],
        *[(image * 0.2 + 110).astype(np.uint8) for image in good[30:40]],
    ]
    return good + poor


def test_every_kind_of_poor_looks_scores_below_ordinary_frames(pictures: list[drawn.Frames]) -> None:
    scores = typical_looks(np.stack([measures(picture) for picture in pictures])[:, None])[:, 0]
    threshold = np.quantile(scores[:150], 0.1)
    for kind in range(4):
        assert np.mean(scores[150 + 10 * kind : 160 + 10 * kind] < threshold) >= 0.8


def test_scores_are_zero_at_most_and_keep_the_shape() -> None:
    raw = np.random.default_rng(1).normal(size=(50, 3, len(MEASURES)))
    scores = typical_looks(raw)
    assert scores.shape == (50, 3)
    assert (scores <= 0).all()


def test_scores_do_not_depend_on_the_units_of_a_measure() -> None:
    raw = np.random.default_rng(1).normal(size=(50, 3, len(MEASURES)))
    np.testing.assert_allclose(typical_looks(raw), typical_looks(raw * 7 - 3))


def test_a_measure_that_never_varies_says_nothing() -> None:
    raw = np.random.default_rng(1).normal(size=(50, 3, len(MEASURES)))
    raw[..., 0] = 1.0
    np.testing.assert_array_equal(typical_looks(raw), typical_looks(raw[..., 1:]))
