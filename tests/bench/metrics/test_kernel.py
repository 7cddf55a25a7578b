import cleanfid.fid
import numpy as np
import pytest
import torch
from torchmetrics.image.kid import poly_mmd

from bench.metrics import kernel
from bench.metrics.kernel import kernel_distance


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 16)), rng.normal(size=(40, 16)) * 1.3 + 0.2


def by_pairs(x, y):
    """The unbiased estimate as its definition reads."""
    k = lambda a, b: (a @ b / len(a) + 1) ** 3  # noqa: E731
    within = [np.mean([k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j]) for s in (x, y)]
    return sum(within) - 2 * np.mean([k(a, b) for a in x for b in y])


def test_equals_the_definition(features):
    assert kernel_distance(*features) == pytest.approx(by_pairs(*features), rel=1e-12)


def test_equals_clean_fid_and_torchmetrics_where_their_subset_is_the_whole(features):
    x, y = features[0][:40], features[1]
    ours = kernel_distance(x, y)
    assert cleanfid.fid.kernel_distance(x, y, num_subsets=1, max_subset_size=40) == pytest.approx(ours, rel=1e-9)
    assert poly_mmd(torch.from_numpy(x), torch.from_numpy(y)).item() == pytest.approx(ours, rel=1e-9)


def test_blocks_change_nothing(features, monkeypatch):
    whole = kernel_distance(*features)
    monkeypatch.setattr(kernel, "BLOCK", 7)
    assert kernel_distance(*features) == pytest.approx(whole, rel=1e-12)


def test_is_unbiased_for_equal_distributions():
    rng = np.random.default_rng(0)
    values = [kernel_distance(rng.normal(size=(20, 8)), rng.normal(size=(30, 8))) for _ in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert np.std(values) > 0


def test_order_changes_nothing_but_rounding(features):
    x, y = features
    assert kernel_distance(x[::-1], y[::-1]) == pytest.approx(kernel_distance(x, y), rel=1e-10)
    assert kernel_distance(y, x) == pytest.approx(kernel_distance(x, y), rel=1e-10)


def test_unequal_dimensions_are_refused():
    with pytest.raises(ValueError, match="same number of features, got 3 and 4"):
        kernel_distance(np.zeros((5, 3)), np.zeros((5, 4)))
