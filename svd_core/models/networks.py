"""Building the two networks from settings: the image UNet of Stage I and the video UNet that it is inflated into."""

import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from svd_core.models.unet import FoldedAttention, SpatioTemporalUNet
from svd_core.settings import NetworkSettings

CHANNELS_PER_GROUP = 8
"""At the narrowest level; Stable Diffusion has 10. One or two, as its 32 groups would leave here, erase what is the
same at every pixel: the embeddings of noise level and text, and the background's colour."""


def image_unet(
    settings: NetworkSettings, *, channels: int, text_dim: int, norm_groups: int | None = None
) -> UNet2DConditionModel:
    """A small UNet of Stable Diffusion 2's kind with fresh weights (from torch's global generator).

    `channels` are the latent channels, in and out; `text_dim` is the width of the text embedding. `norm_groups` are
    by default one for every eight channels of the narrowest level; diffusers' own video class knows only 32.
    """
    levels = settings.attention_levels
    if not len(levels) == len(settings.num_attention_heads) == len(settings.block_out_channels):
        raise ValueError(
            "network settings need one value per level: "
            f"block_out_channels {settings.block_out_channels}, attention_levels {levels}, "
            f"num_attention_heads {settings.num_attention_heads}"
        )
    network = UNet2DConditionModel(
        in_channels=channels,
        out_channels=channels,
        block_out_channels=settings.block_out_channels,
        layers_per_block=settings.layers_per_block,
        down_block_types=tuple("CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in levels),
        up_block_types=tuple("CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(levels)),
        attention_head_dim=settings.num_attention_heads,
        cross_attention_dim=text_dim,
        use_linear_projection=True,
        norm_num_groups=norm_groups or settings.block_out_channels[0] // CHANNELS_PER_GROUP,
    )
    network.set_attn_processor(FoldedAttention())
    return network


def load_image_unet(folder: Path) -> UNet2DConditionModel:
    """The EMA network of a Stage I artifact."""
    config = json.loads((folder / "config.json").read_text())["network"]
    model = UNet2DConditionModel.from_config(config)
    model.load_state_dict(load_file(folder / "ema.safetensors"))
    return model


def load_video_unet(folder: Path) -> SpatioTemporalUNet:
    """The EMA network of a video training artifact, in evaluation mode."""
    config = json.loads((folder / "config.json").read_text())["network"]
    model: SpatioTemporalUNet = SpatioTemporalUNet.from_config(config)
    model.load_state_dict(load_file(folder / "ema.safetensors"))
    model.eval().requires_grad_(False)
    return model


def count_parameters(network: torch.nn.Module) -> int:
    """How many trainable values a network has."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
