import warnings

import cleanfid.fid
import mpmath
import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.image.fid import FrechetInceptionDistance

from bench.metrics import frechet
from bench.metrics.frechet import Gaussian, extrapolated_frechet_distance, frechet_distance


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


@pytest.mark.parametrize(("n", "rank", "decay"), [(200, 40, 0), (200, 40, 4), (41, 40, 0), (200, 12, 0), (30, 40, 0)])
def test_the_quick_ways_for_many_features_are_as_exact(monkeypatch, n, rank, decay):
    """Cholesky factors and roots of eigenvalues, with eigenvectors and singular values where those do not work."""
    rng = np.random.default_rng(0)
    scales = 10.0 ** -np.linspace(0, decay, rank)
    x, y = (rng.normal(size=(n, rank)) * scales @ rng.normal(size=(rank, 40)) for _ in range(2))
    slow = frechet_distance(x, y)
    monkeypatch.setattr(frechet, "LARGE", 0)
    assert frechet_distance(x, y) == pytest.approx(slow, rel=1e-10)
    assert frechet_distance(x, x) < 1e-9


@pytest.mark.parametrize(("n", "m", "decay"), [(40, 40, 12), (40, 60, 12), (60, 40, 6), (40, 40, 0), (40, 30, 3)])
def test_the_sum_of_singular_values_is_as_exact_where_squares_lose_the_small_ones(monkeypatch, n, m, decay):
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(side, side)))[0] for side in (n, m))
    values = np.concatenate(
        [np.ones(min(n, m) * 2 // 3), 10.0 ** -np.linspace(0, decay, min(n, m) - min(n, m) * 2 // 3)]
    )
    matrix = (left[:, : len(values)] * values) @ right[: len(values)]
    monkeypatch.setattr(frechet, "LARGE", 0)
    assert frechet.nuclear_norm(matrix) == pytest.approx(values.sum(), rel=1e-12)
    assert frechet.nuclear_norm(np.zeros((n, m))) == 0


def test_takes_tensors_and_lists():
    x = [[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]
    assert frechet_distance(torch.tensor(x), x) < 1e-12
    assert frechet_distance(torch.tensor(x, dtype=torch.bfloat16, requires_grad=True), np.array(x, int)) < 1e-12


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 3)), "x needs features .* at least two samples"),
        (np.zeros((2, 3, 3)), r"got shape \(2, 3, 3\)"),
        (np.zeros((5, 4)), "same number of features"),
        (np.array([[0.0, 1, 2], [np.nan, 1, 2]]), "first in row 1"),
        (np.zeros((5, 0)), r"got shape \(5, 0\)"),
        (np.zeros((5, 3), complex), "x needs real features, got torch.complex128"),
        ("features.npy", "x is no array of numbers"),
        (None, "x is no array of numbers"),
    ],
)
def test_bad_features_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(x, np.zeros((5, 3)))


def in_high_precision(x, y, digits=40):
    """The textbook formula with every operation in `digits` decimal digits."""
    with mpmath.workdps(digits):
        means, sigmas = [], []
        for rows in (x, y):
            matrix = mpmath.matrix(rows.tolist())
            mean = [sum(matrix[:, j]) / len(rows) for j in range(rows.shape[1])]
            centred = mpmath.matrix(len(rows), rows.shape[1])
            for i in range(len(rows)):
                for j in range(rows.shape[1]):
                    centred[i, j] = matrix[i, j] - mean[j]
            means.append(mean)
            sigmas.append(centred.T * centred / (len(rows) - 1))
        root = mpmath.sqrtm(sigmas[0] * sigmas[1])
        gap = sum((a - b) ** 2 for a, b in zip(*means, strict=True))
        trace = sum(sigmas[0][i, i] + sigmas[1][i, i] - 2 * root[i, i] for i in range(len(root)))
        return float(mpmath.re(gap + trace))


def test_is_as_exact_as_float64_can_be():
    """scipy's and torchmetrics' results differ from 40-digit arithmetic by more on badly conditioned features."""
    rng = np.random.default_rng(0)
    scales = 10.0 ** -np.arange(6)
    x, y = rng.normal(size=(9, 6)) * scales + 3, rng.normal(size=(12, 6)) * scales * 1.5 + 3
    exact = in_high_precision(x, y)
    assert frechet_distance(x, y) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(("n", "d"), [(2000, 32), (300, 256)])
def test_equals_clean_fids_routine_on_the_same_features(n, d):
    rng = np.random.default_rng(n)
    x, y = correlated(rng, n, d), correlated(rng, n, d, shift=0.1)
    statistics = [array for rows in (x, y) for array in (rows.mean(0), np.cov(rows, rowvar=False))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # scipy's, of an argument that clean-fid passes
        theirs = cleanfid.fid.frechet_distance(*statistics)
    assert frechet_distance(x, y) == pytest.approx(theirs, rel=1e-6)


def test_equals_torchmetrics_with_a_custom_feature():
    class Flat(torch.nn.Module):
        num_features = 12

        def forward(self, images):
            return images.flatten(1).double()

    images = [torch.rand(n, 3, 2, 2, generator=torch.Generator().manual_seed(n)) for n in (100, 80)]
    theirs = FrechetInceptionDistance(feature=Flat(), normalize=True, input_img_size=(3, 2, 2)).set_dtype(torch.float64)
    for number, batch in enumerate(images):
        theirs.update(batch.double(), real=number == 0)
    assert frechet_distance(*(batch.flatten(1) for batch in images)) == pytest.approx(theirs.compute().item(), rel=1e-6)


def test_a_gaussian_made_once_gives_the_same_bits():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 8)), rng.normal(size=(30, 8))
    assert frechet_distance(x, Gaussian.of(y)) == frechet_distance(x, y) == frechet_distance(Gaussian.of(x), y)


@pytest.mark.parametrize(("n", "left"), [(48, 0.25), (200, 0.1)])
def test_extrapolation_takes_most_of_the_bias_away(n, left):
    """Equal distributions in 40 dimensions are 0 apart, and the plain estimate is far off."""
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=(n, 40)), rng.normal(size=(n, 40))) for _ in range(8)]
    plain = np.mean([frechet_distance(*pair) for pair in pairs])
    extrapolated = np.mean([extrapolated_frechet_distance(*pair) for pair in pairs])
    assert plain > 4
    assert abs(extrapolated) < left * plain


def test_extrapolation_keeps_a_real_distance():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(800, 10)), rng.normal(size=(800, 10)) + 1
    assert extrapolated_frechet_distance(x, y) == pytest.approx(10, rel=0.1)
    assert extrapolated_frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_extrapolation_needs_four_samples():
    with pytest.raises(ValueError, match="at least 4 samples a set, got 3 and 9"):
        extrapolated_frechet_distance(np.zeros((3, 2)), np.zeros((9, 2)))
