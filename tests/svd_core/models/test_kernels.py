"""Kernels for a GPU: on one where there is one, else in Triton's interpreter."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from svd_core.models.kernels import gated_linear, is_short, short_attention
from svd_core.models.unet import by_sums

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Tensors = tuple[torch.Tensor, ...]


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape).half().to(DEVICE).requires_grad_()


def with_gradients(function: Callable[..., torch.Tensor], inputs: Tensors, direction: torch.Tensor) -> Tensors:
    """The result, and how it moves with the inputs."""
    result = function(*inputs)
    return result.detach(), *torch.autograd.grad(result, inputs, direction.to(result.dtype))


def assert_same(found: Tensors, expected: Tensors) -> None:
    for value, exact in zip(found, expected, strict=True):
        assert ((value.double() - exact).norm() / exact.norm()).item() < 1e-3


def exactly(inputs: Tensors) -> Tensors:
    return tuple(each.detach().double().requires_grad_() for each in inputs)


@pytest.mark.parametrize(("frames", "heads", "dimension"), [(14, 5, 64), (25, 2, 64), (16, 3, 32), (1, 1, 16)])
def test_attention_over_frames(frames: int, heads: int, dimension: int) -> None:
    torch.manual_seed(frames)
    inputs, direction = (
        tuple(drawn(7, frames, heads * dimension) for _ in range(3)),
        drawn(7, frames, heads * dimension).detach(),
    )

    def exact(*values: torch.Tensor) -> torch.Tensor:
        split = (each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in values)
        return F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)

    assert is_short(inputs[0], heads)
    found = with_gradients(lambda *values: short_attention(*values, heads), inputs, direction)
    if frames == 1:  # weights are 1 whatever queries and keys are
        assert not any(slopes.any() for slopes in found[1:3])
        found, expected = (found[0], found[3]), (inputs[2].detach().double(), direction.double())
    else:
        expected = with_gradients(exact, exactly(inputs), direction)
    assert_same(found, expected)


def test_attention_reads_tensors_as_they_lie() -> None:
    torch.manual_seed(0)
    inputs, direction = tuple(drawn(5, 14, 32) for _ in range(3)), drawn(5, 14, 32).detach()
    turned = tuple(each.detach().mT.contiguous().mT.requires_grad_() for each in inputs)
    plain = with_gradients(lambda *values: short_attention(*values, 2), inputs, direction)
    for value, other in zip(plain, with_gradients(lambda *v: short_attention(*v, 2), turned, direction), strict=True):
        assert torch.equal(value, other)


def test_other_sequences_are_left_to_pytorch() -> None:
    assert not is_short(drawn(2, 33, 64), 1)
    assert not is_short(drawn(2, 14, 80), 2)
    assert not is_short(drawn(2, 14, 64).float(), 1)


@pytest.mark.parametrize(("rows", "width"), [(1, 16), (70, 20), (1030, 130)])
def test_gated_units(rows: int, width: int) -> None:
    torch.manual_seed(rows)
    inputs, direction = (drawn(rows, 24), drawn(2 * width, 24), drawn(2 * width)), drawn(rows, width).detach()

    def exact(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        value, gate = F.linear(x, weight, bias).chunk(2, dim=-1)
        return value * F.gelu(gate)

    found = with_gradients(lambda *values: gated_linear(*values)[0], inputs, direction)
    assert_same(found, with_gradients(exact, exactly(inputs), direction))


def test_frozen_weights_cost_no_product() -> None:
    x, weight, bias = drawn(10, 24), drawn(40, 24).detach(), drawn(40).detach()
    with FlopCounterMode(display=False) as counter:
        gated_linear(x, weight, bias)[0].sum().backward()
    assert counter.get_total_flops() == 2 * (2 * 10 * 24 * 40), "there and back"
    assert x.grad is not None


def test_their_work_is_counted_as_that_of_pytorchs_own() -> None:
    x, weight, bias, query = drawn(10, 24), drawn(40, 24), drawn(40), drawn(6, 14, 64)

    def counted(function: Callable[[], torch.Tensor]) -> int:
        with FlopCounterMode(display=False) as counter:
            function().sum().backward()
        return counter.get_total_flops()

    split = query.unflatten(-1, (2, -1)).transpose(1, 2)
    alike = [
        (lambda: gated_linear(x, weight, bias)[0], lambda: F.linear(x, weight, bias)),
        (lambda: short_attention(query, query, query, 2), lambda: F.scaled_dot_product_attention(split, split, split)),
    ]
    for ours, theirs in alike:
        assert counted(ours) == counted(theirs) > 0


def test_only_what_is_let_through_has_a_gradient() -> None:
    gated, projected = gated_linear(drawn(10, 24), drawn(40, 24), drawn(40))
    assert gated.requires_grad
    assert not projected.requires_grad


@pytest.mark.parametrize(("mean", "spread"), [(3, 2), (30, 0.03), (0, 1e-6)])
def test_group_norms_by_sums(mean: float, spread: float) -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(4, 24, eps=1e-6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = (torch.randn(3, 24, 5, 6) * spread + mean).contiguous(memory_format=torch.channels_last).requires_grad_()
    direction, inputs = torch.randn_like(x), (x, *norm.parameters())
    found = by_sums(norm, x)
    assert found.is_contiguous(memory_format=torch.channels_last)
    found = (found.detach(), *torch.autograd.grad(found, inputs, direction))
    exact = norm.double()(x.double())
    assert_same(found, (exact.detach(), *torch.autograd.grad(exact, (x, *norm.parameters()), direction.double())))
