import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from bench.performance.plain_i3d import plain_i3d
from svd_core.encoders.i3d import I3D, LAYERS
from svd_core.encoders.weights import fetch


@pytest.fixture(scope="module")
def path():
    return fetch("i3d_k400")


@pytest.fixture(scope="module")
def network(path):
    return I3D.load(path)


def constant_videos_distance(network, frames):
    black, white = (network.features(torch.full((1, frames, 3, 32, 32), value)) for value in (0.0, 1.0))
    return ((black - white).double() ** 2).sum().item()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frames", "published"),
    [
        (10, 569.77),
        (11, 486.75),
        (12, 552.77),
        (13, 146.52),
        (14, 172.78),
        (15, 133.91),
        (16, 152.90),
        (20, 338.50),
        (30, 151.392),
    ],
)
def test_constant_videos_give_the_published_fvd_at_every_length(network, frames, published):
    assert constant_videos_distance(network, frames) == pytest.approx(published, rel=5e-4)


@pytest.mark.parametrize("frames", [9, pytest.param(12, marks=pytest.mark.slow)])
def test_equals_the_network_written_with_3d_operators(network, path, frames):
    video = torch.rand(1, frames, 3, 48, 40, generator=torch.Generator().manual_seed(frames))
    frames_224 = F.interpolate(video[0], (224, 224), mode="bilinear", align_corners=False) * 2 - 1
    with torch.inference_mode():
        expected = plain_i3d(load_file(path), frames_224.transpose(0, 1)[None])
    torch.testing.assert_close(network.features(video), expected, atol=1e-4, rtol=0)


def test_the_classifier_maps_pool_to_logits(network):
    video = torch.rand(1, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pool = network.features(video, "pool")
    assert pool.shape == (1, LAYERS["pool"])
    logits = F.linear(pool, network.logits_weight, network.logits_bias)
    torch.testing.assert_close(network.features(video), logits, atol=1e-4, rtol=0)


def test_a_layer_that_is_not_there_is_refused_with_those_that_are(network):
    with pytest.raises(ValueError, match="I3D gives no layer 'mixed_5c'; there are logits, pool"):
        network.features(torch.zeros(1, 9, 3, 32, 32), "mixed_5c")


def test_features_do_not_depend_on_the_batch(network):
    videos = torch.rand(2, 9, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    together = network.features(videos)
    assert together.shape == (2, 400) and together.dtype == torch.float32
    np.testing.assert_array_equal(together[1:], network.features(videos[1:]))


@pytest.mark.parametrize("shape", [(1, 8, 3, 32, 32), (1, 3, 10, 32, 32), (10, 3, 32, 32)])
def test_other_shapes_are_refused(network, shape):
    with pytest.raises(ValueError, match=r"needs videos \(N, T >= 9, 3, H, W\), got"):
        network.features(torch.zeros(shape))
