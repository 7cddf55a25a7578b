import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from svd_core.encoders.i3d_torchscript import I3DTorchScript


class Network(nn.Module):
    """The outline of the real file: its arguments, and logits that are mean colours."""

    def forward(self, x: Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False) -> Tensor:
        assert not rescale and not resize and return_features
        return x.mean((2, 3, 4)).repeat(1, 134)[:, :400]


@pytest.fixture
def encoder(tmp_path):
    with pytest.warns(FutureWarning, match="deprecated"):
        torch.jit.script(Network()).save(str(tmp_path / "i3d_torchscript.pt"))
    return I3DTorchScript.load(tmp_path / "i3d_torchscript.pt")


def test_frames_come_resized_and_scaled(encoder):
    videos = torch.rand(2, 9, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    found = encoder.to(torch.device("cpu")).features(videos)
    frames = F.interpolate(videos.flatten(0, 1), (224, 224), mode="bilinear") * 2 - 1
    expected = frames.view(2, 9, 3, 224, 224).mean((1, 3, 4)).repeat(1, 134)[:, :400]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_other_layers_are_refused(encoder):
    with pytest.raises(ValueError, match="no layer 'pool'; there is only logits"):
        encoder.features(torch.zeros(1, 9, 3, 32, 32), "pool")


def test_other_shapes_are_refused(encoder):
    with pytest.raises(ValueError, match=r"needs videos \(N, T >= 9, 3, H, W\), got"):
        encoder.features(torch.zeros(1, 8, 3, 32, 32))
