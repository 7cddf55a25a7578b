import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cleanfid.resize import build_resizer
from inception_names import published_names
from torchvision.models import Inception3, inception

from svd_core.encoders.inception import Inception
from svd_core.encoders.inception_v3 import InceptionV3


class Pools:
    """What torchvision's blocks call, with TensorFlow's pools of 2015: no padding in means, a maximum in the last."""

    relu, max_pool2d = F.relu, F.max_pool2d

    @staticmethod
    def avg_pool2d(x, kernel_size, stride, padding):
        if x.shape[1] == 2048:
            return F.max_pool2d(x, kernel_size, stride, padding)
        return F.avg_pool2d(x, kernel_size, stride, padding, count_include_pad=False)


@pytest.fixture(scope="module")
def torchvisions():
    torch.manual_seed(0)
    network = Inception3(aux_logits=False, init_weights=False).eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    return network


@pytest.fixture(scope="module")
def ours(torchvisions):
    parts = {"conv.weight": "weight", "bn.bias": "beta", "bn.running_mean": "mean", "bn.running_var": "var"}
    units, state = published_names(torchvisions), torchvisions.state_dict()
    return InceptionV3({f"{units[u]}.{new}": state[f"{u}.{old}"] for u in units for old, new in parts.items()})


@torch.inference_mode()
def test_equals_torchvisions_network_with_tensorflows_pools(torchvisions, ours, monkeypatch):
    images = torch.rand(2, 3, 107, 107, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = ours(images)
    monkeypatch.setattr(inception, "F", Pools)
    torchvisions.fc = torch.nn.Identity()
    torch.testing.assert_close(found, torchvisions(images), rtol=1e-4, atol=1e-5)


def test_pictures_are_resized_and_scaled_as_clean_fid_does():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 30), dtype=np.uint8)
    seen = []

    class Watcher(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return x.mean((2, 3))

    Inception(Watcher()).features(torch.from_numpy(images).float() / 255)
    resize = build_resizer("clean")
    resized = torch.from_numpy(np.stack([resize(image.transpose(1, 2, 0)) for image in images])).permute(0, 3, 1, 2)
    torch.testing.assert_close(seen[0], (resized - 128) / 128, atol=1e-4, rtol=1e-4)


def test_videos_are_refused():
    with pytest.raises(ValueError, match=r"needs images \(N, 3, H, W\)"):
        Inception(torch.nn.Identity()).features(torch.zeros(1, 2, 3, 8, 8))
