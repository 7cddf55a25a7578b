"""Fitting a trained video network to another task: more input channels, more micro-conditions, low-rank weights."""

import re

import torch
from torch import nn

from svd_core.models.inflation import NotInflatable, default_dtype
from svd_core.models.unet import SpatioTemporalUNet

TEMPORAL_ATTENTION = r".*\.temporal_transformer_blocks\.\d+\.attn[12]\.(to_q|to_k|to_v|to_out\.0)"
"""The layers that a camera-motion LoRA changes (paper, section 4.4 and appendix D)."""
WRAPPED = "unet."
"""What LoRA files, and MaskedFrames, put before the names of a network's weights."""
TIME_EMBEDDING = re.compile(r"^(time_embedding|add_embedding)\.")


def adapted(video: SpatioTemporalUNet, *, in_channels: int, time_ids: int) -> SpatioTemporalUNet:
    """The network with more input channels and micro-conditions, which start with zero weights: the same output.

    time_ids: values of micro-conditioning per clip. Raises NotInflatable for fewer of either than there are.
    """
    config = {key: value for key, value in video.config.items() if not key.startswith("_")}
    ids_width = time_ids * config["addition_time_embed_dim"]
    for name, before, after in (
        ("in_channels", config["in_channels"], in_channels),
        ("projection_class_embeddings_input_dim", config["projection_class_embeddings_input_dim"], ids_width),
    ):
        if after < before:
            raise NotInflatable(f"{name}={after} is fewer than the network's {before}")
        config[name] = after
    with default_dtype(video.dtype):
        wider: SpatioTemporalUNet = SpatioTemporalUNet.from_config(config)
    weights = wider.state_dict()
    with torch.no_grad():
        for name, value in video.state_dict().items():
            target = weights[name]
            if target.shape != value.shape:  # conv_in and add_embedding.linear_1 grow along their second dimension
                target.zero_()
                target = target[:, : value.shape[1]]
            target.copy_(value)
    return wider


def train_only_time_embedding(network: nn.Module) -> None:
    """Freeze all but the embeddings of noise level and micro-conditioning."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(TIME_EMBEDDING.search(name) is not None)


def add_lora(network: nn.Module, rank: int) -> None:
    """Add low-rank weights to the temporal attention and freeze everything else. They start without effect."""
    from peft import LoraConfig, inject_adapter_in_model

    network.requires_grad_(False)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=TEMPORAL_ATTENTION), network)


def lora_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """The low-rank weights, named as diffusers' LoRA files name them."""
    from peft import get_peft_model_state_dict

    return {WRAPPED + name: value.contiguous() for name, value in get_peft_model_state_dict(network).items()}


class MaskedFrames(nn.Module):
    """A video network for frame interpolation: a learnt embedding stands for every frame to be found.

    Input channels: noisy latents (C), condition latents (C), mask (1); the mask is 1 where the condition is unknown.
    """

    def __init__(self, unet: SpatioTemporalUNet) -> None:
        super().__init__()
        self.unet = unet
        self.mask_embedding = nn.Parameter(torch.zeros((unet.config["in_channels"] - 1) // 2))

    def forward(self, x: torch.Tensor, *args: torch.Tensor, **kwargs: bool) -> tuple[torch.Tensor]:
        """As the wrapped network's; x is (B, T, 2 C + 1, h, w)."""
        channels = len(self.mask_embedding)
        noisy, condition, mask = x.split([channels, channels, 1], 2)
        condition = condition + mask * self.mask_embedding[:, None, None]
        output: tuple[torch.Tensor] = self.unet(torch.cat([noisy, condition, mask], 2), *args, **kwargs)
        return output

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass."""
        self.unet.enable_gradient_checkpointing()

    @torch.no_grad()
    def folded(self) -> SpatioTemporalUNet:
        """The wrapped network with the embedding moved into the mask's own input weights: equal, and a plain UNet.

        The first convolution is linear: a constant vector where the mask is 1 is the mask times W e.
        """
        channels = len(self.mask_embedding)
        weight = self.unet.conv_in.weight
        weight[:, -1] += torch.einsum("oihw,i->ohw", weight[:, channels : 2 * channels], self.mask_embedding)
        self.mask_embedding.zero_()
        return self.unet
