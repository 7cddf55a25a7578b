import cv2
import drawn
import numpy as np
import pytest

from svd_core.curation.aesthetics import MEASURES, measures, typical_looks

NO_TEXT = np.zeros((8, 8), np.uint8)


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
    scores = typical_looks(np.stack([measures(picture, NO_TEXT) for picture in pictures])[:, None], "best")
    threshold = np.quantile(scores[:150], 0.1)
    for kind in range(4):
        assert np.mean(scores[150 + 10 * kind : 160 + 10 * kind] < threshold) >= 0.8


def raw_measures() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(50, 3, len(MEASURES)))


def test_scores_are_zero_at_most_and_ordered_by_how_frames_are_combined() -> None:
    best, mean, worst = (typical_looks(raw_measures(), how) for how in ("best", "mean", "worst"))
    assert best.shape == (50,)
    assert (worst < mean).all()
    assert (mean < best).all()
    assert (best <= 0).all()


def test_scores_do_not_depend_on_the_units_of_a_measure() -> None:
    np.testing.assert_allclose(typical_looks(raw_measures(), "mean"), typical_looks(raw_measures() * 7 - 3, "mean"))


def test_a_measure_that_never_varies_says_nothing() -> None:
    raw = raw_measures()
    raw[..., 0] = 1.0
    np.testing.assert_array_equal(typical_looks(raw, "best"), typical_looks(raw[..., 1:], "best"))


def test_text_does_not_change_the_looks_of_the_picture_below() -> None:
    picture = cv2.GaussianBlur(drawn.shot(3, frames=1)[0], (0, 0), 4).astype(np.uint8)
    text = np.zeros(picture.shape[:2], np.uint8)
    text[5:35, 5:140] = 1
    written = picture.copy()
    cv2.putText(written, "LIVE", (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    below, above = measures(picture, text), measures(written, text)
    np.testing.assert_allclose(above, below, atol=0.2)
    assert np.abs(measures(written, NO_TEXT) - measures(picture, NO_TEXT)).max() > 0.5


def test_an_empty_table_has_no_scores() -> None:
    assert typical_looks(np.zeros((0, 3, len(MEASURES))), "best").shape == (0,)
