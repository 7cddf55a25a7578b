from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from svd_core.encoders.laion_aesthetics import LaionAesthetics


class Published(nn.Module):
    """The module that `sac+logos+ava1-l14-linearMSE.pth` is the state dict of."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(768, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2), nn.Linear(128, 64),
            nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1),
        )  # fmt: skip


def test_scores_are_those_of_the_published_module(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Published().eval()
    save_file(module.state_dict(), tmp_path / "head.safetensors")
    embeddings = torch.nn.functional.normalize(torch.randn(5, 768), dim=1)
    with torch.inference_mode():
        expected = module.layers(embeddings)[:, 0]
    torch.testing.assert_close(LaionAesthetics.load(tmp_path / "head.safetensors")(embeddings), expected)


def test_a_head_may_be_a_single_layer(tmp_path: Path) -> None:
    layer = nn.Linear(768, 1)
    save_file(layer.state_dict(), tmp_path / "head.safetensors")
    head = LaionAesthetics.load(tmp_path / "head.safetensors")
    torch.testing.assert_close(head(torch.ones(2, 768)), layer(torch.ones(2, 768))[:, 0].detach())


def test_embeddings_of_another_clip_are_refused(tmp_path: Path) -> None:
    save_file(nn.Linear(768, 1).state_dict(), tmp_path / "head.safetensors")
    with pytest.raises(ValueError, match="of 768 dimensions, got 512"):
        LaionAesthetics.load(tmp_path / "head.safetensors")(torch.ones(1, 512))


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"layers.0.weight": torch.ones(1, 4)},
        {"layers.0.weight": torch.ones(2, 4), "layers.0.bias": torch.ones(2)},
        {"weight": torch.ones(1, 4), "bias": torch.ones(1), "more": torch.ones(1)},
        {"layers.0.weight": torch.ones(3, 4), "layers.0.bias": torch.ones(3), "layers.1.weight": torch.ones(1, 2),
         "layers.1.bias": torch.ones(1)},
    ],
)  # fmt: skip
def test_other_files_are_refused(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "head.safetensors")
    with pytest.raises(ValueError, match=r"head\.safetensors"):
        LaionAesthetics.load(tmp_path / "head.safetensors")
