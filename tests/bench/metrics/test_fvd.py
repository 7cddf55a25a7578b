import numpy as np
import pytest
import torch

from bench.metrics import fvd
from svd_core.encoders.weights import fetch


@pytest.fixture(scope="module", autouse=True)
def weights():
    fetch("i3d_k400")


def test_constant_videos_give_the_published_value():
    black, white = np.zeros((2, 10, 3, 16, 16), np.float32), torch.ones(2, 10, 3, 16, 16)
    assert fvd(black, white) == pytest.approx(569.77, rel=5e-4)


@pytest.mark.parametrize(
    ("generated", "message"),
    [
        (np.zeros((2, 10, 3, 8, 8), np.uint8), "generated: expected floats in .* got torch.uint8"),
        (np.zeros((2, 10, 8, 8, 3)), r"generated: expected videos .* got shape \(2, 10, 8, 8, 3\)"),
        (np.full((2, 10, 3, 8, 8), 255.0), "generated: clip 0 has values outside .* from 255 to 255"),
        (np.stack([np.zeros((10, 3, 8, 8)), np.full((10, 3, 8, 8), np.nan)]), "clip 1 has values outside .* nan"),
        (np.zeros((2, 11, 3, 8, 8)), "same number of frames, got 10 and 11"),
    ],
)
def test_other_inputs_are_refused(generated, message):
    with pytest.raises(ValueError, match=message):
        fvd(np.zeros((2, 10, 3, 8, 8)), generated)


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="at least 9 frames, got 8"):
        fvd(np.zeros((2, 8, 3, 8, 8)), np.zeros((2, 8, 3, 8, 8)))
