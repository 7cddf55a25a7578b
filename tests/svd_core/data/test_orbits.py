import json
import shutil

import cv2
import numpy as np
import pytest

from svd_core.data.objects import SPLITS, intrinsics, render, render_split, triangles
from svd_core.data.orbits import orbit_poses, read_orbit, read_orbits, write_orbit


@pytest.fixture(scope="module")
def orbit():
    return render("952", side=128, views=6)


@pytest.fixture
def folder(orbit, tmp_path):
    write_orbit(tmp_path / "test" / "952", orbit)
    return tmp_path / "test" / "952"


@pytest.mark.parametrize("name", ["950", "951", "954"])
def test_cameras_are_exact(name):
    """The silhouette spans what the cameras say that the mesh spans, to the pixel, in every view."""
    orbit, corners = render(name), triangles(name).reshape(-1, 3)
    for image, camera in zip(orbit.images, orbit.cameras, strict=True):
        projected = np.hstack([corners, np.ones((len(corners), 1))]) @ camera.T
        places = projected[:, :2] / projected[:, 2:]
        rows, columns = np.nonzero((image != 255).any(-1))
        first, last = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()])
        low, high = first - places.min(0), places.max(0) - last
        assert (low > -0.2).all() and (low < 1.2).all()
        assert (high > -0.2).all() and (high < 1.2).all()


def test_poses_look_at_the_origin_from_a_circle():
    poses, azimuths = orbit_poses(20.0, 3.0)
    assert azimuths == pytest.approx(np.arange(21) * 360 / 21)
    for pose in poses:
        rotation, shift = pose[:, :3], pose[:, 3]
        assert rotation @ rotation.T == pytest.approx(np.eye(3))
        assert np.linalg.det(rotation) == pytest.approx(1)
        place = -rotation.T @ shift
        assert np.degrees(np.arcsin(place[2] / 3)) == pytest.approx(20)
        centre = intrinsics(64) @ pose @ [0, 0, 0, 1]
        assert centre[:2] / centre[2] == pytest.approx([32, 31])
        assert (rotation @ [0, 0, 1])[1] < 0  # up in the world is up in the picture


def test_the_same_name_gives_the_same_pixels_and_another_another(orbit):
    again = render("952", side=128, views=6)
    np.testing.assert_array_equal(again.images, orbit.images)
    assert -5 <= orbit.elevation <= 30
    assert orbit.elevation != render("951", side=16, views=2).elevation


def test_an_unknown_object_is_refused():
    with pytest.raises(ValueError, match="no object is named '1000': there are 000 to 999"):
        render("1000")


def test_splits_share_no_object():
    objects = [number for split in SPLITS.values() for number in split]
    assert sorted(objects) == list(range(1000))
    assert len(SPLITS["test"]) == 50


def test_written_orbits_are_read_as_they_were(orbit, folder):
    read = read_orbit(folder)
    np.testing.assert_array_equal(read.images, orbit.images)
    np.testing.assert_array_equal(read.cameras, orbit.cameras)
    assert read.elevation == orbit.elevation


def test_render_split_writes_the_layout(tmp_path):
    assert render_split(tmp_path, "validation", count=2, side=32) == 2
    orbits = dict(read_orbits(tmp_path, "validation"))
    assert list(orbits) == ["900", "901"]
    assert orbits["900"].images.shape == (21, 32, 32, 3)


def test_transparent_renders_stand_on_white(folder):
    transparent = np.zeros((128, 128, 4), np.uint8)
    transparent[:64] = (10, 20, 30, 255)
    cv2.imwrite(str(folder / "000.png"), transparent)
    image = read_orbit(folder).images[0]
    assert image[0, 0].tolist() == [30, 20, 10]
    assert image[-1, 0].tolist() == [255, 255, 255]


def damaged(folder, **changes):
    cameras = {**json.loads((folder / "cameras.json").read_text()), **changes}
    kept = {key: value for key, value in cameras.items() if value is not None}
    (folder / "cameras.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "cameras.json").unlink(), r"cameras\.json is missing"),
        (lambda f: (f / "cameras.json").write_text("{"), r"cameras\.json: expected the keys"),
        (lambda f: damaged(f, intrinsics=None), r"cameras\.json: .* KeyError\('intrinsics'\)"),
        (lambda f: damaged(f, world_to_camera=[[1, 2], [3, 4]]), r"expected \(3, 3\), \(V, 3, 4\) and \(V,\), got"),
        (lambda f: (f / "003.png").unlink(), r"003\.png is missing or no 8-bit"),
        (lambda f: (f / "003.png").write_bytes(b"PNG"), r"003\.png is missing or no 8-bit"),
        (lambda f: cv2.imwrite(str(f / "004.png"), np.zeros((8, 9, 3), np.uint8)), r"004\.png: size \(8, 9\)"),
    ],
)
def test_damaged_folders_name_the_file(folder, damage, message):
    damage(folder)
    with pytest.raises(ValueError, match=message):
        read_orbit(folder)


def test_an_object_in_two_splits_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "train" / "952")
    with pytest.raises(ValueError, match="object '952' is in two splits"):
        list(read_orbits(tmp_path, "test"))
    with pytest.raises(ValueError, match="holds no objects"):
        list(read_orbits(tmp_path, "validation"))
