"""Damage of growing strength to real videos moves every metric the way that docs/metrics.md says."""

import numpy as np
import pytest

from bench.distortions import DISTORTIONS, distort
from bench.features import features
from bench.metrics import (
    frechet_distance,
    lpips,
    motion_smoothness,
    psnr,
    ssim,
    temporal_flicker,
)
from bench.metrics.dynamic_degree import dynamic
from svd_core.data.real_videos import clips_of
from svd_core.encoders.weights import fetch

pytestmark = pytest.mark.slow
STRENGTHS = (0.0, 0.1, 0.3, 1.0)
FRAMES, SIDE = 10, 64


@pytest.fixture(scope="module")
def clean():
    """A clip of each of three real videos."""
    names = ("bikes", "bigbuckbunny", "carphone_pristine")
    return np.concatenate([clips_of(fetch(name), FRAMES, SIDE)[:1] for name in names])


@pytest.fixture(scope="module", params=DISTORTIONS)
def damaged(request, clean):
    """The name of a distortion, and the clips at each strength."""
    return request.param, [distort(clean, DISTORTIONS[request.param], strength) for strength in STRENGTHS]


def test_no_strength_is_no_damage_and_draws_are_the_same_twice(clean, damaged):
    name, versions = damaged
    np.testing.assert_array_equal(versions[0], clean)
    assert not np.array_equal(versions[-1], clean)
    np.testing.assert_array_equal(distort(clean, DISTORTIONS[name], 0.3), versions[2])
    np.testing.assert_array_equal(distort(clean[:1], DISTORTIONS[name], 0.3), versions[2][:1])


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_pixels_differ_more_with_every_step(clean, damaged, metric):
    name, versions = damaged
    values = [float(metric(clean, version)) for version in versions]
    assert values == sorted(values, reverse=True)
    if metric is psnr and name in ("shuffle", "freeze"):  # infinite as long as any frame is what it was
        assert values[:3] == [np.inf] * 3
        assert np.isfinite(values[3]) == (name == "shuffle")
    else:
        assert values[0] > values[1] > values[-1]


def test_lpips_grows_with_every_step(clean, damaged):
    fetch("lpips_alex")
    values = [float(lpips(clean, version)) for version in damaged[1]]
    assert values[0] == 0
    assert values == sorted(values)
    assert values[-1] > 0.05


@pytest.fixture(scope="module")
def clean_features(clean):
    fetch("i3d_k400")
    return i3d(clean)


def i3d(videos):
    return features("i3d_k400", np.rint(videos * 255).astype(np.uint8))


def test_pictures_are_further_from_real_ones_with_damage(clean, damaged):
    fetch("vgg16")
    clean, slight, full = (
        features("vgg16", np.rint(videos * 255).astype(np.uint8)) for videos in (clean, damaged[1][1], damaged[1][3])
    )
    assert 0 <= frechet_distance(clean, slight) < frechet_distance(clean, full)


def test_fvd_grows_with_damage(clean_features, damaged):
    slight, full = (frechet_distance(clean_features, i3d(damaged[1][number])) for number in (1, 3))
    assert 0 < slight < full


@pytest.mark.parametrize("metric", [temporal_flicker, motion_smoothness])
def test_time_is_broken_by_noise_and_shuffling_and_stilled_by_freezing(damaged, metric):
    name, versions = damaged
    values = [float(metric(version)) for version in versions]
    if name == "noise":
        assert values == sorted(values, reverse=True)
    if name in ("noise", "shuffle"):  # a few frames out of place are soon as bad as all
        assert max(values[1:]) < values[0] - 0.001
        assert values[-1] < values[0] - 0.005
    if name in ("blur", "freeze"):  # what both metrics prefer: read them beside dynamic_degree
        assert values == sorted(values)
    if name == "freeze":
        assert values[-1] == 1


def test_dynamic_degree_sees_freezing_only(damaged):
    name, versions = damaged
    degrees = [dynamic(np.rint(version * 255).astype(np.uint8)).mean() for version in versions[:: len(versions) - 1]]
    if name == "freeze":
        assert degrees[1] == 0 < degrees[0]
    if name == "noise":
        assert degrees[1] <= degrees[0]
