"""How fast the video network trains on a CPU, forward and backward, beside diffusers' class with the same weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel

from bench.performance.alternating import against
from bench.performance.goals import goal
from svd_core.models.unet import SpatioTemporalUNet

CONFIG: dict[str, Any] = {
    "in_channels": 8,
    "out_channels": 4,
    "block_out_channels": (64, 128),
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal",) * 2,
    "up_block_types": ("CrossAttnUpBlockSpatioTemporal",) * 2,
    "num_attention_heads": (2, 4),
    "cross_attention_dim": 64,
    "layers_per_block": 1,
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 96,
}


@pytest.mark.parametrize("tokens", [1, 77], ids=["an image's one token", "a prompt's 77 tokens"])
def test_forward_and_backward(benchmark: Any, tokens: int) -> None:
    torch.manual_seed(0)
    stock, ours = UNetSpatioTemporalConditionModel(**CONFIG), SpatioTemporalUNet(**CONFIG)
    ours.load_state_dict(stock.state_dict())
    inputs = (torch.randn(2, 10, 8, 8, 8), torch.randn(2), torch.randn(2, tokens, 64), torch.rand(2, 3) * 20)

    def step(network: UNetSpatioTemporalConditionModel) -> Callable[[], None]:
        def work() -> None:
            network.zero_grad(set_to_none=True)
            network(*inputs).sample.square().mean().backward()

        return work

    against(benchmark, step(ours), {"diffusers' class": step(stock)}, rounds=12)
    goal(
        benchmark,
        "times the speed of diffusers' class",
        benchmark.extra_info["diffusers' class"]["times_ours"],
        at_least=1.25,
    )
    with torch.no_grad():
        difference = (ours(*inputs).sample - stock(*inputs).sample).abs().max().item()
    benchmark.extra_info["largest difference of outputs"] = difference
