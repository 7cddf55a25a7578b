from functools import partial

import numpy as np
import pytest

from bench.metrics.distances import measured_distance
from bench.metrics.frechet import frechet_distance
from bench.metrics.kernel import kernel_distance
from bench.metrics.sets import jackknife_stderr


def stderr(draw, reference, clips, distance=frechet_distance):
    return jackknife_stderr(draw, clips, partial(distance, y=reference))


@pytest.mark.parametrize(("distance", "apart"), [(frechet_distance, 0.0), (kernel_distance, 0.5)])
def test_jackknife_matches_the_spread_over_repetitions(distance, apart):
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(256, 12)).astype(np.float32)
    draws = [rng.normal(apart, 1.2, (64, 12)).astype(np.float32) for _ in range(40)]
    spread = np.std([distance(draw, reference) for draw in draws], ddof=1)
    estimated = np.mean([stderr(draw, reference, 64, distance) for draw in draws])
    assert estimated == pytest.approx(spread, rel=0.3)


def test_jackknife_leaves_the_frames_of_a_clip_out_together():
    """Three equal frames a clip say no more than one: the error must not shrink as for 3n samples."""
    rng = np.random.default_rng(0)
    reference, clips = rng.normal(size=(400, 8)), rng.normal(size=(64, 8))
    once = stderr(clips, reference, clips=64)
    assert stderr(np.repeat(clips, 3, axis=0), reference, clips=64) == pytest.approx(once, rel=0.1)


def test_too_few_clips_for_a_jackknife():
    assert stderr(np.zeros((31, 4), np.float32), np.zeros((9, 4), np.float32), clips=31) is None


def test_each_kind_of_distance_has_its_value_and_error():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(64, 6)).astype(np.float32) for _ in range(2))
    assert measured_distance("frechet", x, y, clips=64)[0] == frechet_distance(x, y)
    assert measured_distance("kernel", x, y, clips=64)[0] == kernel_distance(x, y)
    assert measured_distance("extrapolated", x, y, clips=64)[0] < frechet_distance(x, y)
    assert all(measured_distance(kind, x, y, clips=64)[1] > 0 for kind in ("frechet", "kernel", "extrapolated"))
