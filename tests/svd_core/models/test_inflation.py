from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel, UNetSpatioTemporalConditionModel

from svd_core.models.inflation import NotInflatable, inflate, is_new, last_temporal_layers, video_name
from svd_core.models.networks import count_parameters, image_unet
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.settings import NetworkSettings

TEXT = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
C_NOISE = torch.tensor([0.3, -0.7])
EVERYWHERE = NetworkSettings(attention_levels=(True, True))


def small_unet(**changes: object) -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        **{
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": (32, 64),
            "layers_per_block": 1,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "attention_head_dim": (2, 4),
            "cross_attention_dim": 16,
            **changes,
        }
    )


def frame_by_frame(image: UNet2DConditionModel, x: torch.Tensor) -> torch.Tensor:
    return torch.stack([image(frame, C_NOISE, TEXT).sample for frame in x.unbind(1)], 1)


@pytest.mark.parametrize("use_linear_projection", [False, True])
@torch.no_grad()
def test_the_video_network_starts_as_the_image_network(use_linear_projection: bool) -> None:
    image = small_unet(use_linear_projection=use_linear_projection)
    video = inflate(image)
    x = torch.randn(2, 3, 4, 8, 8)
    output = video(x, C_NOISE, TEXT, torch.tensor([[6.0, 127.0, 0.02], [11.0, 3.0, 0.5]])).sample
    torch.testing.assert_close(output, frame_by_frame(image, x), rtol=0, atol=1e-5)


@torch.no_grad()
def test_it_starts_as_the_image_network_whatever_the_blend() -> None:
    image = small_unet()
    video = inflate(image)
    for name, parameter in video.named_parameters():
        if name.endswith("mix_factor"):
            parameter.uniform_(-3, 3)
    x = torch.randn(2, 3, 4, 8, 8)
    output = video(x, C_NOISE, TEXT, torch.zeros(2, 3)).sample
    torch.testing.assert_close(output, frame_by_frame(image, x), rtol=0, atol=1e-5)


def test_new_weights_are_those_that_the_image_network_lacks() -> None:
    image = small_unet()
    copied = {video_name(name) for name in image.state_dict()}
    assert {name for name in inflate(image).state_dict() if not is_new(name)} == copied


@torch.no_grad()
def test_further_input_channels_start_without_effect() -> None:
    image = small_unet()
    x, condition = torch.randn(2, 2, 3, 4, 8, 8)
    output = inflate(image, in_channels=8)(torch.cat([x, condition], 2), C_NOISE, TEXT, torch.zeros(2, 3)).sample
    torch.testing.assert_close(output, frame_by_frame(image, x), rtol=0, atol=1e-5)


@torch.no_grad()
def test_it_keeps_the_image_networks_norm_groups_through_its_config() -> None:
    image = small_unet(norm_num_groups=8)
    video = inflate(image)
    config = {key: value for key, value in video.config.items() if not key.startswith("_")}
    again = SpatioTemporalUNet.from_config(config)
    again.load_state_dict(video.state_dict())
    x = torch.randn(2, 3, 4, 8, 8)
    for network in (video, again):
        output = network(x, C_NOISE, TEXT, torch.zeros(2, 3)).sample
        torch.testing.assert_close(output, frame_by_frame(image, x), rtol=0, atol=1e-5)


def test_the_noise_level_reaches_the_narrowest_level_of_a_small_network() -> None:
    """With one channel a group, what the time embedding adds to a channel is what its norm takes away."""
    block = image_unet(NetworkSettings(), channels=4, text_dim=16).down_blocks[0].resnets[0]
    x, embedding = torch.randn(2, NetworkSettings().block_out_channels[0], 8, 8), torch.randn(2, 2, 256)
    first, second = (block(x, each[:, : block.time_emb_proj.in_features]) for each in embedding)
    assert (first - second).abs().max() > 0.05


STABLE_DIFFUSION = {
    "block_out_channels": (32, 64, 64, 64),
    "layers_per_block": 2,
    "down_block_types": (*3 * ("CrossAttnDownBlock2D",), "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *3 * ("CrossAttnUpBlock2D",)),
}


@pytest.mark.parametrize(
    "kind",
    [{"attention_head_dim": 8}, {"attention_head_dim": (1, 2, 4, 4), "use_linear_projection": True}],
    ids=["like 1.5", "like 2.1"],
)
@torch.no_grad()
def test_both_kinds_of_stable_diffusion_start_as_themselves_from_their_folders(
    kind: dict[str, object], tmp_path: Path
) -> None:
    image = small_unet(**STABLE_DIFFUSION, **kind)
    image.save_pretrained(tmp_path / "unet")
    x, condition = torch.randn(2, 2, 2, 4, 16, 16)
    expected = frame_by_frame(image, x)
    for source in (tmp_path / "unet", str(tmp_path)):
        video = inflate(source, in_channels=8)
        output = video(torch.cat([x, condition], 2), C_NOISE, TEXT, torch.rand(2, 3) * 30).sample
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_random_spatial_weights_take_the_shape_and_nothing_else() -> None:
    image = small_unet()
    copied, random = inflate(image), inflate(image, spatial="random")
    assert {k: v.shape for k, v in copied.state_dict().items()} == {k: v.shape for k, v in random.state_dict().items()}
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    assert torch.equal(copied.state_dict()[name], image.state_dict()[name])
    assert not torch.equal(random.state_dict()[name], image.state_dict()[name])
    assert random.state_dict()[name].std().item() == pytest.approx(image.state_dict()[name].std().item(), rel=0.1)
    for _, layer in last_temporal_layers(random):
        assert not layer.weight.any()


def test_the_precision_of_the_image_model_is_kept() -> None:
    assert {parameter.dtype for parameter in inflate(small_unet().half()).parameters()} == {torch.float16}
    assert torch.get_default_dtype() == torch.float32


def test_every_layer_that_starts_at_zero_gets_a_gradient() -> None:
    video = inflate(small_unet(), time_ids=2, time_id_dim=8)
    video(torch.randn(2, 3, 4, 8, 8), C_NOISE, TEXT, torch.ones(2, 2)).sample.square().mean().backward()
    layers = dict(last_temporal_layers(video))
    assert any("attn1.to_out" in name for name in layers)
    assert all(layer.weight.grad.any() for layer in layers.values())


def test_the_state_dict_is_that_of_the_stock_class() -> None:
    video = inflate(image_unet(EVERYWHERE, channels=4, text_dim=16), time_ids=2, time_id_dim=8)
    config = {key: value for key, value in video.config.items() if not key.startswith("_")}
    stock = UNetSpatioTemporalConditionModel.from_config(config)
    assert {k: v.shape for k, v in stock.state_dict().items()} == {k: v.shape for k, v in video.state_dict().items()}


def test_parameter_counts_of_stable_diffusion_and_svd() -> None:
    with torch.device("meta"):
        sd21 = UNet2DConditionModel(
            cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
        )
        video = inflate(sd21, in_channels=8, num_frames=25)
    assert count_parameters(sd21) == 865_910_724
    assert count_parameters(video) == 1_524_623_082
    new = ("temporal_res_block", "temporal_transformer_blocks", "time_mixer", "time_pos_embed")
    assert sum(p.numel() for name, p in video.named_parameters() if any(part in name for part in new)) == 656_076_838


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_hid_dim": 8, "encoder_hid_dim_type": "text_proj"}, "encoder_hid_dim=8; only encoder_hid_dim=None"),
        ({"act_fn": "gelu"}, "act_fn='gelu'; only act_fn='silu'"),
        ({"resnet_time_scale_shift": "scale_shift"}, "resnet_time_scale_shift='scale_shift'"),
        ({"down_block_types": ("CrossAttnDownBlock2D", "AttnDownBlock2D")}, "down_block_types with 'AttnDownBlock2D'"),
    ],
)
def test_other_architectures_are_refused_by_their_config_key(changes: dict[str, object], message: str) -> None:
    with pytest.raises(NotInflatable, match=message):
        inflate(small_unet(**changes))


def test_fewer_input_channels_are_refused() -> None:
    with pytest.raises(NotInflatable, match="in_channels=3 is fewer than the image model's 4"):
        inflate(small_unet(), in_channels=3)
