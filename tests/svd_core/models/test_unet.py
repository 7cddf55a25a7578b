from pathlib import Path

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel

from svd_core.models import unet
from svd_core.models.unet import SpatioTemporalUNet, TemporalResBlock, by_sums

CONFIG = {
    "in_channels": 8,
    "out_channels": 4,
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    "num_attention_heads": (2, 4),
    "cross_attention_dim": 16,
    "layers_per_block": 1,
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24,
}
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def stock_and_fast() -> tuple[UNetSpatioTemporalConditionModel, SpatioTemporalUNet]:
    torch.manual_seed(0)
    stock, fast = UNetSpatioTemporalConditionModel(**CONFIG), SpatioTemporalUNet(**CONFIG)
    fast.load_state_dict(stock.state_dict())
    return stock, fast


def inputs(batch: int = 2, size: tuple[int, int] = (8, 8), tokens: int = 6) -> Inputs:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(batch, 5, 8, *size, generator=generator),
        torch.randn(batch, generator=generator),
        torch.randn(batch, tokens, 16, generator=generator),
        torch.rand(batch, 3, generator=generator) * 20,
    )


@pytest.mark.parametrize("size", [(8, 8), (4, 8), (6, 10), (5, 7)])
@torch.no_grad()
def test_outputs_equal_the_stock_class(size: tuple[int, int]) -> None:
    stock, fast = stock_and_fast()
    torch.testing.assert_close(fast(*inputs(size=size)).sample, stock(*inputs(size=size)).sample, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", ["as it comes", "channels last", "channels last, as on a GPU"])
@pytest.mark.parametrize("tokens", [6, 1])
def test_gradients_equal_the_stock_class(tokens: int, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One token leaves the weights of its queries and keys without a gradient, where the stock class has zeros."""
    gradients = []
    networks = stock_and_fast()
    networks[1].channels_last = layout != "as it comes"
    if layout.endswith("GPU"):
        monkeypatch.setattr(unet, "by_pixel", lambda x: x.is_contiguous(memory_format=torch.channels_last))
        monkeypatch.setattr(unet.GroupNorm, "forward", by_sums)  # PyTorch's own brings another layout back
    for network in networks:
        network(*inputs(tokens=tokens)).sample.square().mean().backward()
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
        gradients.append(torch.cat([gradient.flatten() for gradient in found]))
    stock, fast = gradients
    assert ((fast - stock).norm() / stock.norm()).item() < 1e-5


@torch.no_grad()
def test_outputs_equal_the_stock_class_where_the_text_is_one_token() -> None:
    stock, fast = stock_and_fast()
    torch.testing.assert_close(fast(*inputs(tokens=1)).sample, stock(*inputs(tokens=1)).sample, rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_scalar_timestep_serves_the_whole_batch() -> None:
    stock, fast = stock_and_fast()
    x, _, text, ids = inputs()
    torch.testing.assert_close(fast(x, 0.5, text, ids).sample, stock(x, 0.5, text, ids).sample, rtol=0, atol=1e-5)


@pytest.mark.parametrize("changed", [0, 1, 2, 3], ids=["noisy", "noise level", "text", "micro-conditioning"])
@torch.no_grad()
def test_no_condition_of_one_clip_reaches_another(changed: int) -> None:
    _, fast = stock_and_fast()
    before = inputs(batch=3)
    after = [value.clone() for value in before]
    after[changed][1] += 1
    expected, output = fast(*before).sample, fast(*after).sample
    assert torch.equal(output[[0, 2]], expected[[0, 2]])
    assert not torch.allclose(output[1], expected[1], atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("other", [UNetSpatioTemporalConditionModel, SpatioTemporalUNet])
def test_what_it_saves_is_read_by_either_class(other: type[UNetSpatioTemporalConditionModel], tmp_path: Path) -> None:
    _, fast = stock_and_fast()
    fast.save_pretrained(tmp_path)
    loaded = other.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded(*inputs()).sample, fast(*inputs()).sample, rtol=0, atol=1e-5)


@torch.no_grad()
def test_on_a_cpu_the_branch_over_frames_reads_frames_as_they_lie() -> None:
    """In another layout its convolutions round otherwise: runs of one spec no longer agreed to the bit."""
    _, fast = stock_and_fast()
    seen: list[bool] = []
    for module in fast.modules():
        if isinstance(module, TemporalResBlock):
            module.register_forward_pre_hook(lambda module, args: seen.append(args[0].is_contiguous()))
    fast(*inputs())
    assert seen
    assert all(seen)
