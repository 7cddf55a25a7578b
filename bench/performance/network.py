"""How fast the video network trains on a CPU, forward and backward, beside diffusers' class with the same weights."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel

from bench.performance.alternating import against
from bench.performance.goals import goal
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.training.execution import compile_blocks

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


Step = Callable[[], None]
TOKENS = pytest.mark.parametrize("tokens", [1, 77], ids=["an image's one token", "a prompt's 77 tokens"])


@TOKENS
def test_forward_and_backward(benchmark: Any, tokens: int) -> None:
    stock, ours, inputs = networks(tokens)
    measure(benchmark, stock, ours, inputs)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # torch's own
@TOKENS
def test_compiled(benchmark: Any, tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `execution: {compiled: true}`, from an empty cache of compiled code."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    stock, ours, inputs = networks(tokens)
    compile_blocks(ours)
    started = time.perf_counter()
    step(ours, inputs)()
    benchmark.extra_info["seconds of the first step"] = time.perf_counter() - started
    measure(benchmark, stock, ours, inputs)


def networks(tokens: int) -> tuple[UNetSpatioTemporalConditionModel, SpatioTemporalUNet, tuple[torch.Tensor, ...]]:
    """The class of diffusers, ours with the same weights, and what both are called with."""
    torch.manual_seed(0)
    stock, ours = UNetSpatioTemporalConditionModel(**CONFIG), SpatioTemporalUNet(**CONFIG)
    ours.load_state_dict(stock.state_dict())
    return stock, ours, (torch.randn(2, 10, 8, 8, 8), torch.randn(2), torch.randn(2, tokens, 64), torch.rand(2, 3) * 20)


def step(network: UNetSpatioTemporalConditionModel, inputs: tuple[torch.Tensor, ...]) -> Step:
    def work() -> None:
        network.zero_grad(set_to_none=True)
        network(*inputs).sample.square().mean().backward()

    return work


def measure(
    benchmark: Any,
    stock: UNetSpatioTemporalConditionModel,
    ours: SpatioTemporalUNet,
    inputs: tuple[torch.Tensor, ...],
) -> None:
    against(benchmark, step(ours, inputs), {"diffusers' class": step(stock, inputs)}, rounds=12)
    times = benchmark.extra_info["diffusers' class"]["times_ours"]
    goal(benchmark, "times the speed of diffusers' class", times, at_least=1.25)
    with torch.no_grad():
        difference = (ours(*inputs).sample - stock(*inputs).sample).abs().max().item()
    benchmark.extra_info["largest difference of outputs"] = difference
