from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.frechet import frechet_distance
from bench.metrics.moments import Moments, merge_packed


def rows(n, d, seed=0, shift=0.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)) + shift)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 60), d=st.integers(1, 30), cuts=st.lists(st.integers(1, 59), max_size=5), seed=st.integers(0, 99)
)
def test_parts_merge_to_the_whole_in_any_grouping(n, d, cuts, seed):
    features = rows(n, d, seed, shift=100)
    edges = [0, *sorted({cut for cut in cuts if cut < n}), n]
    parts = [Moments.of(features[a:b]) for a, b in pairwise(edges)]
    whole = Moments.of(features)
    for order in (parts, parts[::-1]):
        merged = Moments.empty(d)
        for part in order:
            merged = merged.merged(part)
        assert merged.n == n
        torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-12, atol=0)
        torch.testing.assert_close(merged.scatter, whole.scatter, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(30, 50, 64), (64, 65, 64), (500, 300, 64)])
def test_distance_of_merged_moments_equals_that_of_all_features(n, m, d):
    x, y = rows(n, d, 1), rows(m, d, 2, shift=0.2) * 1.1
    merged = merge_packed(torch.stack([Moments.of(part).packed() for part in x.split(7)]))
    found = frechet_distance(Moments.unpacked(merged).gaussian(), Moments.of(y).gaussian())
    assert found == pytest.approx(frechet_distance(x, y), rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(10, 400), (400, 400), (900, 40)])
def test_a_set_is_at_no_distance_from_itself_however_it_was_cut(n, d):
    x = rows(n, d, shift=10)
    halves = [Moments.of(half) for half in x.chunk(2)]
    assert frechet_distance(halves[0].merged(halves[1]).gaussian(), halves[1].merged(halves[0]).gaussian()) < 1e-9
    assert frechet_distance(halves[0].merged(halves[1]).gaussian(), x) < 1e-9


def test_packing_is_lossless():
    moments = Moments.of(rows(5, 3))
    again = Moments.unpacked(moments.packed())
    assert again.n == 5
    assert torch.equal(again.mean, moments.mean) and torch.equal(again.scatter, moments.scatter)


def test_one_sample_has_no_covariance():
    with pytest.raises(ValueError, match="at least two samples, got 1"):
        Moments.of(rows(1, 3)).gaussian()
