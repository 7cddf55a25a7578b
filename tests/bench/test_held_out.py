"""Runs against the true clips that they were given a part of."""

import json

import cv2
import numpy as np
import pytest
from safetensors.numpy import save_file

from bench.held_out import Truth, against, camera_share

CLIPS, FRAMES, SIDE = 3, 4, 32


@pytest.fixture
def clips():
    return np.random.default_rng(0).integers(0, 256, (CLIPS, FRAMES, 3, SIDE, SIDE), np.uint8)


def test_frames_that_were_given_do_not_count(clips):
    ours = clips.copy()
    ours[:, 1:] = np.clip(ours[:, 1:].astype(int) + 10, 0, 255)
    truth = Truth(clips, [0], None)
    without = against("psnr", ours, truth)
    ours[:, 0] = 0
    assert np.array_equal(against("psnr", ours, truth), without)
    ours[:, 1] = 0
    assert (against("psnr", ours, truth) < without).all()


def test_the_truth_is_read_beside_the_samples_and_cut_to_their_number(clips, tmp_path):
    (tmp_path / "given.json").write_text(json.dumps([0, 3]))
    save_file({"videos": clips}, tmp_path / "clips.safetensors")
    truth = Truth.load(tmp_path, tmp_path)
    assert (truth.given, truth.cameras) == ([0, 3], None)
    assert len(against("ssim", clips[:2], truth)) == 2


def test_orbits_need_cameras(clips):
    with pytest.raises(ValueError, match="tsed needs the cameras of orbits"):
        against("tsed", clips, Truth(clips, [0], None))


def test_the_cameras_motion_is_told_at_the_clips_own_rate():
    rng = np.random.default_rng(1)
    wall = np.full((96, 160, 3), 128, np.uint8)
    for x, y, width, height in rng.integers((0, 0, 15, 15), (150, 90, 40, 40), (60, 4)).tolist():
        cv2.rectangle(wall, (x, y), (x + width, y + height), rng.integers(0, 256, 3).tolist(), -1)
    pan = np.stack([wall[:, start : start + 96] for start in range(0, 18, 2)]).transpose(0, 3, 1, 2)[None]
    still = np.repeat(pan[:, :1], 9, 1)
    videos = np.concatenate([pan, still])
    assert camera_share("horizontal", videos, [8.0, 8.0]).tolist() == [1.0, 0.0]
    assert camera_share("static", videos, [8.0, 8.0]).tolist() == [0.0, 1.0]
