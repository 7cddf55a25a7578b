import copy
import doctest
import json
import pickle

import numpy as np
import pytest

from bench.metrics import result as module
from bench.metrics.result import Result


def test_its_example_holds():
    assert doctest.testmod(module) == (0, 2)


def test_it_is_a_number():
    result = Result(0.25, name="LPIPS[alex]", n=2, per_clip=[0.2, 0.3])
    assert float(result) == result == 0.25
    assert json.dumps({"value": result}) == '{"value": 0.25}'
    assert f"{result:.3f}" == "0.250"
    assert result == pytest.approx(0.25)


def test_mean_of_has_the_standard_error_over_clips():
    result = Result.mean_of(np.array([1.0, 2.0, 3.0]), name="x", frames=9)
    assert (float(result), result.n, result.frames) == (2.0, 3, 9)
    assert result.stderr == pytest.approx(1 / np.sqrt(3))
    assert Result.mean_of(np.array([1.0]), name="x").stderr is None


def test_copies_and_pickles_keep_everything():
    result = Result(1.5, name="x", n=3, per_clip=[1, 2], weights="ab", n_reference=4)
    for other in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):  # noqa: S301
        assert other == result
        assert (other.name, other.n, other.weights, other.n_reference) == ("x", 3, "ab", 4)
        np.testing.assert_array_equal(other.per_clip, result.per_clip)
