"""Clips rendered for the other tasks, as training and judging read them."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from svd_core.curation.camera import camera_motion
from svd_core.data.objects import DISTANCE, intrinsics
from svd_core.data.orbits import orbit_poses
from svd_core.data.rendered import render_clips
from svd_core.data.settings import ClipsSettings


@pytest.mark.parametrize("move", ["horizontal", "zoom", "static"])
def test_the_classifier_tells_how_the_camera_was_moved(move, tmp_path):
    """What the arms of `camera_motion` are judged by can be seen at the size that they are trained at."""
    render_clips(ClipsSettings(render="camera_moves", move=move, count=24), tmp_path)
    videos = load_file(tmp_path / "clips.safetensors")["videos"].transpose(0, 1, 3, 4, 2)
    found = Counter(camera_motion([np.ascontiguousarray(view) for view in video[::4]]) for video in videos)
    assert found[move] >= 21
    assert set(found) <= {move, None}


def test_any_move_is_each_in_turn(tmp_path):
    render_clips(ClipsSettings(render="camera_moves", move="any", count=6, frames=3, resolution=16), tmp_path)
    assert (
        pl.read_parquet(tmp_path / "clips.parquet")["camera_motion"].to_list() == ["horizontal", "zoom", "static"] * 2
    )


def test_held_out_orbits_are_of_other_objects_and_bring_their_cameras(tmp_path):
    for split in ("train", "test"):
        settings = ClipsSettings(render="orbits", split=split, count=1, frames=3, resolution=16)
        (tmp_path / split).mkdir()
        render_clips(settings, tmp_path / split)
    train, test = (load_file(tmp_path / split / "clips.safetensors") for split in ("train", "test"))
    assert (train["videos"] != test["videos"]).any()
    assert test["cameras"].shape == (1, 3, 3, 4)
    elevation = pl.read_parquet(tmp_path / "test" / "clips.parquet")["elevation"][0]
    poses, _ = orbit_poses(elevation, DISTANCE, 3)
    np.testing.assert_allclose(test["cameras"][0], intrinsics(16) @ poses)


def test_more_orbits_than_objects_are_refused(tmp_path):
    with pytest.raises(ValueError, match="split test has 50 objects, 51 orbits are asked for"):
        render_clips(ClipsSettings(render="orbits", split="test", count=51), tmp_path)
