import numpy as np
import pytest
import torch

from bench.metrics import frechet_distance, fvd
from bench.metrics.fvd import clip_encoder
from bench.metrics.protocols import PROTOCOLS
from svd_core.encoders.weights import fetch
from svd_core.encoders.weights_table import TABLE


@pytest.fixture(scope="module", autouse=True)
def weights():
    fetch("i3d_k400")


def noise(n, frames=9, side=16, seed=0):
    return torch.rand(n, frames, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_constant_videos_give_the_published_value():
    black, white = np.zeros((2, 10, 3, 16, 16), np.float32), torch.ones(2, 10, 3, 16, 16)
    assert float(fvd(black, white)) == pytest.approx(569.77, rel=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["stylegan-v", "unterthiner"])
def test_thirty_frames_give_the_original_codes_value(protocol):
    black, white = torch.zeros(2, 30, 3, 240, 320), torch.ones(2, 30, 3, 240, 320)
    assert fvd(black, white, protocol=protocol) == pytest.approx(151.392, rel=5e-4)


def test_any_source_of_clips_will_do_and_the_number_says_how_it_was_measured():
    real, generated = noise(2), noise(3, seed=1)
    result = fvd(real.numpy(), (clip.double() for clip in generated), protocol="centre-crop")
    assert (result.n, result.n_reference, result.frames) == (3, 2, 9)
    assert result.name == "FVD[i3d-k400, centre-crop]"
    assert result.weights == TABLE["i3d_k400"].sha256
    encode = clip_encoder(PROTOCOLS["centre-crop"])
    features = [torch.cat([encode(clip) for clip in videos.flip(0)]) for videos in (real, generated)]
    assert frechet_distance(*features) == pytest.approx(float(result), rel=1e-9)


@pytest.mark.parametrize(
    ("generated", "message"),
    [
        (np.zeros((2, 10, 3, 8, 8), np.uint8), "generated: expected floats in .* got torch.uint8"),
        (np.zeros((2, 10, 8, 8, 3)), r"generated: expected videos .* got shape \(2, 10, 8, 8, 3\).*move the last axis"),
        (np.zeros((2, 3, 10, 8, 8)), r"got shape \(2, 3, 10, 8, 8\); that looks like \(N, C, T, H, W\)"),
        (np.zeros((10, 3, 8, 8)), r"got shape \(10, 3, 8, 8\); a single clip needs an axis"),
        (np.full((2, 10, 3, 8, 8), 255.0), "generated: clip 0 has values outside .* from 255 to 255"),
        (np.full((2, 10, 3, 8, 8), -0.5), "generated: clip 0 has values outside .* from -0.5 to -0.5"),
        (
            np.stack([np.zeros((10, 3, 8, 8)), np.full((10, 3, 8, 8), np.nan)]),
            "clip 1 has NaN pixels, first in frame 0",
        ),
        (np.zeros((2, 11, 3, 8, 8)), "same number of frames, got 10 and 11"),
        ([], "generated: FVD needs at least 2 clips, got 0"),
        ("videos/", r"generated: expected videos \(N, T, 3, H, W\), got str"),
        ([np.zeros((10, 3, 8, 8)), None], "generated: clip 1 is no array of numbers"),
        (np.full((2, 10, 3, 8, 8), np.inf), "generated: clip 0 has values outside .* from inf to inf"),
        (np.zeros((1, 10, 3, 8, 8)), "generated: FVD needs at least 2 clips, got 1"),
        (
            [np.zeros((10, 3, 8, 8)), np.zeros((10, 3, 8, 6))],
            r"clip 1 has shape \(10, 3, 8, 6\), clip 0 has \(10, 3, 8, 8\)",
        ),
    ],
)
def test_other_inputs_are_refused(generated, message):
    with pytest.raises(ValueError, match=message):
        fvd(np.zeros((2, 10, 3, 8, 8)), generated)


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="at least 9 frames, got 8"):
        fvd(np.zeros((2, 8, 3, 8, 8)), np.zeros((2, 8, 3, 8, 8)))


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="I3D gives no layer 'mixed_5c'; there are logits, pool"):
        fvd(noise(2), noise(2), layer="mixed_5c")


def test_a_misspelt_protocol_is_refused():
    with pytest.raises(ValueError, match="did you mean 'unterthiner'"):
        fvd(noise(2), noise(2), protocol="unterthiner2018")
