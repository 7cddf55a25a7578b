import numpy as np
import pytest
import torch
from cleanfid.resize import build_resizer
from torch import nn

from svd_core.encoders.inception import FILE, Inception


class Layers(nn.Module):
    """Mean colours of the four quarters of the picture, repeated up to 2048 features."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(x, 2).flatten(1).repeat(1, 171)[:, :2048]


class Network(nn.Module):
    """The outline of the real file: a network whose `layers` take normalised pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = Layers()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.fixture
def file(tmp_path):
    with pytest.warns(FutureWarning, match="deprecated"):
        torch.jit.script(Network()).save(str(tmp_path / FILE))
    return tmp_path / FILE


def test_pictures_are_resized_and_scaled_as_clean_fid_does(file):
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 30), dtype=np.uint8)
    found = Inception.load(file).features(torch.from_numpy(images).float() / 255)
    assert found.shape == (2, 2048)
    resize = build_resizer("clean")
    resized = torch.from_numpy(np.stack([resize(image.transpose(1, 2, 0)) for image in images])).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, Layers()((resized - 128) / 128), atol=1e-4, rtol=1e-4)


def test_another_file_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=FILE):
        Inception.load(tmp_path / "inception.pt")


def test_videos_are_refused(file):
    with pytest.raises(ValueError, match=r"needs images \(N, 3, H, W\)"):
        Inception.load(file).features(torch.zeros(1, 2, 3, 8, 8))
