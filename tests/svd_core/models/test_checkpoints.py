import json
from pathlib import Path

import huggingface_hub
import pytest
import torch
from diffusers import UNet2DConditionModel, UNetSpatioTemporalConditionModel
from safetensors.torch import load_file, save_file

from svd_core.models import inflate
from svd_core.models.checkpoints import CheckpointError, load_network, locate

SMALL = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "attention_head_dim": (2, 4),
    "cross_attention_dim": 16,
}
NAME = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A pipeline's folder with a small image UNet."""
    torch.manual_seed(0)
    UNet2DConditionModel(**SMALL).save_pretrained(tmp_path / "pipeline" / "unet")
    return tmp_path / "pipeline"


def same(network: torch.nn.Module, folder: Path) -> bool:
    stored = load_file(folder / NAME)
    return all(torch.equal(value, stored[name]) for name, value in network.state_dict().items())


def test_a_component_is_found_in_its_folder_a_pipelines_or_the_hub_cache(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--someone--sd"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / "abc").symlink_to(pipeline)
    for source in (pipeline, pipeline / "unet", "someone/sd"):
        assert same(load_network(UNet2DConditionModel, locate(source, "unet")), pipeline / "unet")


@pytest.mark.parametrize("source", ["someone/unknown", "no such folder", "../up"])
def test_what_is_nowhere_is_said_and_never_downloaded(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(CheckpointError, match=r"neither a folder nor in the hub cache at .*hub; nothing is downloaded"):
        locate(source, "unet")


def test_another_architecture_is_told_by_tensors_and_shapes(pipeline: Path) -> None:
    path = pipeline / "unet" / NAME
    weights = load_file(path)
    weights["conv_in.weight"] = torch.zeros(32, 9, 3, 3)
    weights["label_emb.0.weight"] = torch.zeros(4, 4)
    del weights["conv_out.bias"]
    save_file(weights, path)
    with pytest.raises(CheckpointError) as caught:
        load_network(UNet2DConditionModel, pipeline / "unet")
    message = str(caught.value)
    assert "1 missing (conv_out.bias (4,))" in message
    assert "1 unknown (label_emb.0.weight (4, 4))" in message
    assert "1 of another shape (conv_in.weight (32, 9, 3, 3), expected (32, 4, 3, 3))" in message


def test_a_config_of_another_class_is_refused(pipeline: Path) -> None:
    with pytest.raises(CheckpointError, match="is of a UNet2DConditionModel; expected UNetSpatioTemporalCondition"):
        load_network(UNetSpatioTemporalConditionModel, pipeline / "unet")


def test_damaged_weights_and_pickles_are_refused(pipeline: Path) -> None:
    path = pipeline / "unet" / NAME
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_network(UNet2DConditionModel, pipeline / "unet")
    path.rename(path.with_name("diffusion_pytorch_model.bin"))
    with pytest.raises(CheckpointError, match=r"diffusion_pytorch_model.bin is a pickle, which is never read"):
        load_network(UNet2DConditionModel, pipeline / "unet")


def test_shards_are_read_and_only_from_their_own_folder(pipeline: Path) -> None:
    folder = pipeline / "unet"
    network = load_network(UNet2DConditionModel, folder)
    (folder / NAME).unlink()
    network.save_pretrained(folder, max_shard_size="100KB")
    index = folder / f"{NAME}.index.json"
    again = load_network(UNet2DConditionModel, folder).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in network.state_dict().items())
    weight_map = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": {**weight_map, "conv_out.bias": "../elsewhere.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"names elsewhere.safetensors, which is not in"):
        load_network(UNet2DConditionModel, folder)


@pytest.mark.slow
def test_a_full_size_stable_diffusion_folder_at_half_precision_is_inflated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stable Diffusion 2.1's shape and size, 1.7 GB. Drawing the new weights would take most of a minute."""
    for name in ("kaiming_uniform_", "uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)
    with torch.device("meta"):
        network = UNet2DConditionModel(
            cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
        )
    network.half().to_empty(device="cpu")
    for number, parameter in enumerate(network.parameters()):
        parameter.data.fill_(number)
    network.save_pretrained(tmp_path / "unet")
    del network
    video = inflate(tmp_path, in_channels=8)
    assert video.dtype == torch.float16
    assert sum(parameter.numel() for parameter in video.parameters()) == 1_524_623_082
    stored = load_file(tmp_path / "unet" / NAME)
    weights = video.state_dict()
    assert torch.equal(weights["conv_in.weight"][:, :4], stored["conv_in.weight"])
    assert not weights["conv_in.weight"][:, 4:].any()
    name = "up_blocks.3.resnets.2.{}conv2.weight"
    assert torch.equal(weights[name.format("spatial_res_block.")], stored[name.format("")])
