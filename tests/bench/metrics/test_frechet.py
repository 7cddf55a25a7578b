import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.frechet import frechet_distance, jackknife_stderr


def with_matrix_square_root(x, y):
    """The textbook formula, for full-rank covariances."""
    sigma_x, sigma_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(sigma_x @ sigma_y).real
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(sigma_x + sigma_y - 2 * root)


def correlated(rng, n, d, shift=0.0):
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) + shift


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 24), (60, 500, 50), (51, 51, 50)])
def test_equals_scipys_matrix_square_root(n, m, d):
    rng = np.random.default_rng(n)
    x, y = correlated(rng, n, d), correlated(rng, m, d, shift=0.3)
    assert frechet_distance(x, y) == pytest.approx(with_matrix_square_root(x, y), rel=1e-6)


def test_equals_scipys_matrix_square_root_for_fewer_samples_than_features():
    rng = np.random.default_rng(0)
    x, y = correlated(rng, 20, 64), correlated(rng, 30, 64)
    assert frechet_distance(x, y) == pytest.approx(with_matrix_square_root(x, y), rel=1e-5)


def test_closed_form_for_diagonal_gaussians():
    """Features whose sample moments are exact: |mu|^2 + sum (s - t)^2 for commuting covariances."""
    d, n = 6, 64
    white = np.linalg.qr(np.random.default_rng(0).normal(size=(n, d + 1)) - 0.0)[0]
    white -= white.mean(0)
    white = np.linalg.qr(white[:, :d])[0] * np.sqrt(n - 1)
    s, t, mean = np.arange(1.0, 7), np.linspace(0.5, 3, 6), np.full(6, 0.7)
    expected = (mean**2).sum() + ((s - t) ** 2).sum()
    assert frechet_distance(white * s, white * t + mean) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "d"), [(10, 400), (64, 400), (400, 400), (900, 400), (900, 5)])
def test_a_set_is_at_no_distance_from_itself(n, d):
    x = correlated(np.random.default_rng(0), n, d, shift=10)
    assert frechet_distance(x, x) < 1e-9


def test_a_set_with_degenerate_covariance_is_at_no_distance_from_itself():
    x = np.repeat(correlated(np.random.default_rng(0), 12, 40), 30, axis=0)
    assert frechet_distance(x, x) < 1e-9
    assert frechet_distance(np.ones((5, 3)), np.zeros((4, 3))) == pytest.approx(3)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(2, 40),
    m=st.integers(2, 40),
    d=st.integers(1, 20),
    seed=st.integers(0, 2**16),
    scale=st.floats(0.1, 10),
)
def test_laws(n, m, d, seed, scale):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 2 + 1
    distance = frechet_distance(x, y)
    assert distance >= 0
    assert frechet_distance(y, x) == pytest.approx(distance, rel=1e-9, abs=1e-9)
    assert frechet_distance(rng.permutation(x), y) == pytest.approx(distance, rel=1e-9, abs=1e-9)
    assert frechet_distance(x + 5, y + 5) == pytest.approx(distance, rel=1e-9, abs=1e-9)
    assert frechet_distance(scale * x, scale * y) == pytest.approx(scale**2 * distance, rel=1e-9, abs=1e-9)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(distance, rel=1e-9, abs=1e-9)


def test_takes_tensors_and_lists():
    x = [[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]
    assert frechet_distance(torch.tensor(x), x) < 1e-12


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 3)), "x needs features .* at least two samples"),
        (np.zeros((2, 3, 3)), r"got shape \(2, 3, 3\)"),
        (np.zeros((5, 4)), "same number of features"),
        (np.array([[0.0, 1, 2], [np.nan, 1, 2]]), "first in row 1"),
    ],
)
def test_bad_features_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(x, np.zeros((5, 3)))


def test_jackknife_matches_the_spread_over_repetitions():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(256, 12)).astype(np.float32)
    draws = [rng.normal(size=(64, 12)).astype(np.float32) * 1.2 for _ in range(40)]
    spread = np.std([frechet_distance(draw, reference) for draw in draws], ddof=1)
    estimated = np.mean([jackknife_stderr(draw, reference, clips=64) for draw in draws])
    assert estimated == pytest.approx(spread, rel=0.3)


def test_jackknife_leaves_the_frames_of_a_clip_out_together():
    """Three equal frames a clip say no more than one: the error must not shrink as for 3n samples."""
    rng = np.random.default_rng(0)
    reference, clips = rng.normal(size=(400, 8)), rng.normal(size=(64, 8))
    once = jackknife_stderr(clips, reference, clips=64)
    assert jackknife_stderr(np.repeat(clips, 3, axis=0), reference, clips=64) == pytest.approx(once, rel=0.1)


def test_too_few_clips_for_a_jackknife():
    assert jackknife_stderr(np.zeros((31, 4), np.float32), np.zeros((9, 4), np.float32), clips=31) is None
