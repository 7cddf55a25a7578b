import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.epipolar import consistent_pairs, epipolar_distances
from svd_core.data.objects import intrinsics, render
from svd_core.data.orbits import orbit_poses


def cameras(views=21):
    return intrinsics(256) @ orbit_poses(10.0, 3.2, views)[0]


def projected(camera, points):
    seen = np.hstack([points, np.ones((len(points), 1))]) @ camera.T
    return seen[:, :2] / seen[:, 2:]


@given(st.integers(0, 2**16), st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_projections_of_one_point_lie_on_each_others_lines(seed, step):
    points = np.random.default_rng(seed).uniform(-1, 1, (20, 3))
    a, b = cameras()[0], cameras()[step]
    np.testing.assert_allclose(epipolar_distances(projected(a, points), projected(b, points), a, b), 0, atol=1e-6)


def test_distances_are_pixels_and_symmetric():
    """Two cameras side by side: epipolar lines are rows, so a point moved down by three rows is three pixels away."""
    left = intrinsics(256) @ np.hstack([np.eye(3), [[0], [0], [4]]])
    right = intrinsics(256) @ np.hstack([np.eye(3), [[1], [0], [4]]])
    points = np.random.default_rng(0).uniform(-1, 1, (5, 3))
    a, b = projected(left, points), projected(right, points) + np.array([0, 3])
    np.testing.assert_allclose(epipolar_distances(a, b, left, right), 3)
    np.testing.assert_allclose(epipolar_distances(b, a, right, left), 3)


@pytest.fixture(scope="module")
def orbit():
    return render("952")


def test_true_views_are_consistent_and_wrong_ones_are_not(orbit):
    views, cameras = orbit.images.transpose(0, 3, 1, 2)[:7].copy(), orbit.cameras[:7]
    assert consistent_pairs(views, cameras).mean() == 1
    jumping = views.copy()
    jumping[::2] = np.roll(views[::2], 6, axis=2)
    assert consistent_pairs(jumping, cameras).mean() == 0
    other = render("957", views=7).images.transpose(0, 3, 1, 2)
    views[::2] = other[::2]
    assert consistent_pairs(views, cameras).mean() == 0


def test_a_level_orbit_cannot_tell_its_direction(orbit):
    """Its epipolar lines are nearly rows of pixels, whichever way it turns: docs/metrics.md warns of it."""
    views = orbit.images.transpose(0, 3, 1, 2)[:4][::-1].copy()
    assert consistent_pairs(views, orbit.cameras[:4]).mean() == 1


def test_pictures_without_texture_are_no_evidence(orbit):
    blank = np.full((21, 3, 64, 64), 200, np.uint8)
    assert consistent_pairs(blank, orbit.cameras).tolist() == [0.0] * 20
