"""Inflation: an image UNet of the Stable Diffusion kind becomes a video UNet that starts as the very same image model.

Spatial weights are copied. Temporal layers are new; the last layer of each of their residual branches is zero, as are
the embedding of the frame position and that of the micro-conditioning, so that every temporal block starts as the
identity. Blending spatial and temporal features, alpha x + (1 - alpha) x, then returns x for any alpha.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from svd_core.models.checkpoints import load_network, locate
from svd_core.models.unet import SpatioTemporalUNet

BLOCKS = {
    "DownBlock2D": "DownBlockSpatioTemporal",
    "CrossAttnDownBlock2D": "CrossAttnDownBlockSpatioTemporal",
    "UpBlock2D": "UpBlockSpatioTemporal",
    "CrossAttnUpBlock2D": "CrossAttnUpBlockSpatioTemporal",
}
REQUIRED = {
    "act_fn": "silu",
    "addition_embed_type": None,
    "attention_type": "default",
    "center_input_sample": False,
    "class_embed_type": None,
    "class_embeddings_concat": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_norm": None,
    "downsample_padding": 1,
    "dropout": 0.0,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_only_cross_attention": None,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "num_class_embeds": None,
    "only_cross_attention": False,
    "resnet_out_scale_factor": 1.0,
    "resnet_skip_time_act": False,
    "resnet_time_scale_shift": "default",
    "reverse_transformer_layers_per_block": None,
    "time_cond_proj_dim": None,
    "time_embedding_act_fn": None,
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "timestep_post_act": None,
}
"""What the video class fixes, by key of the image model's config."""

ZERO_AT_START = (
    r"temporal_res_block\.conv2$",
    r"temporal_transformer_blocks\.\d+\.(ff_in\.net\.2|attn1\.to_out\.0|attn2\.to_out\.0|ff\.net\.2)$",
    r"time_pos_embed\.linear_2$",
    r"^add_embedding\.linear_2$",
)


NEW = re.compile(r"temporal|time_mixer|time_pos_embed|^add_embedding")
"""Names of the weights that inflation adds."""


class NotInflatable(ValueError):
    """The image model's config asks for something that the spatiotemporal UNet does not have."""


def inflate(
    unet2d: UNet2DConditionModel | str | Path,
    *,
    in_channels: int | None = None,
    spatial: Literal["copied", "random"] = "copied",
    time_ids: int = 3,
    time_id_dim: int = 256,
    num_frames: int = 14,
) -> SpatioTemporalUNet:
    """Video UNet whose output for every frame equals the image model's (the same text, any `added_time_ids`).

    unet2d: the image model, or a folder or cached hub id that holds one (of Stable Diffusion 1 or 2), whose precision
    the result keeps. in_channels: input channels, by default the image model's; further ones start with zero weights.
    spatial: "random" takes the image model's shape but none of its weights, the arm without Stage I (paper, section
    3.2). time_ids: values of micro-conditioning per clip, each embedded in `time_id_dim` sinusoids (SVD: fps - 1,
    motion bucket, noise strength). num_frames is only recorded. New weights come from torch's global generator.
    Raises NotInflatable naming the config key and the values allowed, CheckpointError for a folder that is not one.
    """
    if not isinstance(unet2d, UNet2DConditionModel):
        unet2d = load_network(UNet2DConditionModel, locate(unet2d, "unet"))
    config = unet2d.config
    _check(config)
    in_channels = config["in_channels"] if in_channels is None else in_channels
    if in_channels < config["in_channels"]:
        raise NotInflatable(f"in_channels={in_channels} is fewer than the image model's {config['in_channels']}")
    with default_dtype(unet2d.dtype):
        video: SpatioTemporalUNet = SpatioTemporalUNet(
            sample_size=config["sample_size"],
            in_channels=in_channels,
            out_channels=config["out_channels"],
            down_block_types=tuple(BLOCKS[name] for name in config["down_block_types"]),
            up_block_types=tuple(BLOCKS[name] for name in config["up_block_types"]),
            block_out_channels=tuple(config["block_out_channels"]),
            addition_time_embed_dim=time_id_dim,
            projection_class_embeddings_input_dim=time_ids * time_id_dim,
            layers_per_block=config["layers_per_block"],
            cross_attention_dim=config["cross_attention_dim"],
            transformer_layers_per_block=config["transformer_layers_per_block"],
            num_attention_heads=config["attention_head_dim"],  # diffusers' misnomer: in SD configs this counts heads
            num_frames=num_frames,
            norm_num_groups=config["norm_num_groups"],
            norm_eps=config["norm_eps"],
        )
    if spatial == "copied":
        _copy_spatial_weights(unet2d, video)
    _zero_temporal_branches(video)
    return video


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Networks made within have weights of this precision from the start: large ones fit no second copy."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _check(config: dict[str, Any]) -> None:
    for key, required in REQUIRED.items():
        if config.get(key, required) != required:
            raise NotInflatable(f"cannot inflate a UNet with {key}={config[key]!r}; only {key}={required!r}")
    for key in ("down_block_types", "up_block_types"):
        for name in config[key]:
            if name not in BLOCKS:
                raise NotInflatable(f"cannot inflate {key} with {name!r}; known blocks: {', '.join(BLOCKS)}")


def video_name(name: str) -> str:
    """Where a weight or module of the image model lives in the video model."""
    return re.sub(r"(resnets\.\d+)\.", r"\1.spatial_res_block.", name)


def is_new(name: str) -> bool:
    """Whether a weight of the video model is one that the image model does not have."""
    return NEW.search(name) is not None


def _copy_spatial_weights(image: UNet2DConditionModel, video: nn.Module) -> None:
    weights = video.state_dict()
    with torch.no_grad():
        for name, value in image.state_dict().items():
            target = weights[video_name(name)]
            if name == "conv_in.weight" and target.shape[1] > value.shape[1]:
                target.zero_()
                target = target[:, : value.shape[1]]
            target.copy_(value.reshape(target.shape))  # SD 1's 1x1 convolutions become SVD's linear projections


def last_temporal_layers(video: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers that end a temporal residual branch or the embedding of frame position or micro-conditioning."""
    for name, module in video.named_modules():
        if any(re.search(pattern, name) for pattern in ZERO_AT_START):
            yield name, module


def _zero_temporal_branches(video: nn.Module) -> None:
    for _, module in last_temporal_layers(video):
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
