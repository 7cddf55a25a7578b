"""Triton kernels for a GPU in half precision, where PyTorch's own and the compiler's move values more than once.

`short_attention`: SVD attends over 14 or 25 frames at every pixel, millions of sequences that fill a fifth of the tiles
of kernels made for long ones. Here a program holds one sequence of one head whole. `gated_linear`: the gradients of the
value, of its gate and of the bias in one pass. Sums are taken in a fixed order: results repeat to the bit. Tensors lie
on the current device, as a training's do. To build them, Triton asks for a C compiler.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch.library import triton_op, wrap_triton
from torch.utils.flop_counter import register_flop_formula

MOST_ROWS = 32
"""Longer sequences fill the tiles of PyTorch's own kernels."""
BLOCK, TILE_ROWS, TILE_COLUMNS = 1024, 8, 128
PARTS = 128
"""Runs of rows whose gradients of the bias are summed apart, and then together."""


def is_short(query: torch.Tensor, heads: int) -> bool:
    """Whether `short_attention` takes these queries (N, T, C)."""
    half = query.dtype in (torch.bfloat16, torch.float16)
    return half and query.shape[1] <= MOST_ROWS and query.shape[2] // heads in (16, 32, 64, 128)


@triton_op("svd_core::short_attention", mutates_args=())
def short_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    """softmax(query key^T / sqrt(C / heads)) value, head by head; (N, T, C) each."""
    given = query.contiguous(), key.contiguous(), value.contiguous()
    attended = torch.empty_like(given[0])
    grid, sizes = _sequences(query, heads)
    wrap_triton(_attend)[grid](*given, attended, *query.shape[1:], **sizes)
    return attended


@triton_op("svd_core::short_attention_backward", mutates_args=())
def _attention_gradients(
    gradient: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    given = gradient.contiguous(), query.contiguous(), key.contiguous(), value.contiguous()
    gradients = torch.empty_like(given[1]), torch.empty_like(given[2]), torch.empty_like(given[3])
    grid, sizes = _sequences(query, heads)
    wrap_triton(_attend_backward)[grid](*given, *gradients, *query.shape[1:], **sizes)
    return gradients


def _sequences(query: torch.Tensor, heads: int) -> tuple[tuple[int, int], dict[str, int]]:
    """A program for each sequence and head; rows are a power of two, 16 at least, each 16 of them a warp's."""
    rows = 16 if query.shape[1] <= 16 else MOST_ROWS
    return (query.shape[0], heads), {"ROWS": rows, "DIM": query.shape[2] // heads, "num_warps": rows // 16}


def _keep_attention(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    *saved, ctx.heads = inputs
    ctx.save_for_backward(*saved)


def _differentiate_attention(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    return *_attention_gradients(gradient, *ctx.saved_tensors, ctx.heads), None


short_attention.register_autograd(_differentiate_attention, setup_context=_keep_attention)


@register_flop_formula(torch.ops.svd_core.short_attention)
def _attention_flops(query: torch.Size, *others: Any, products: int = 2, **_: Any) -> int:
    rows, length, width = query
    return products * 2 * rows * length * length * width


@register_flop_formula(torch.ops.svd_core.short_attention_backward)
def _attention_backward_flops(*shapes: Any, **_: Any) -> int:
    return _attention_flops(*shapes, products=5)


@triton_op("svd_core::gated_linear", mutates_args=())
def gated_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What gates let through, (N, C): value * gelu(gate), halves of x weight^T + bias, which is second, (N, 2 C)."""
    projected = torch.addmm(bias, x, weight.t())
    gated = projected.new_empty(len(projected), projected.shape[1] // 2)
    grid = (triton.cdiv(gated.numel(), BLOCK),)
    wrap_triton(_gate)[grid](projected, gated, gated.numel(), gated.shape[1], BLOCK=BLOCK)
    return gated, projected


@register_flop_formula(torch.ops.svd_core.gated_linear)
def _gated_flops(x: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * x.numel() * weight[0]  # its backward's products are PyTorch's own


@triton_op("svd_core::gate_backward", mutates_args=())
def _gate_gradients(gradient: torch.Tensor, projected: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of what was projected, (N, 2 C), and their sums over N."""
    rows, width = gradient.shape
    gradients = torch.empty_like(projected)
    sums = torch.empty(PARTS, 2 * width, dtype=torch.float32, device=gradient.device)
    grid, sizes = (triton.cdiv(width, TILE_COLUMNS), PARTS), {"ROWS": TILE_ROWS, "COLUMNS": TILE_COLUMNS}
    tensors = gradient, projected, gradients, sums
    wrap_triton(_gate_backward)[grid](*tensors, rows, width, triton.cdiv(rows, PARTS), **sizes)
    return gradients, sums.sum(0)


def _keep_gate(ctx: Any, inputs: tuple[torch.Tensor, ...], output: tuple[torch.Tensor, ...]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # nor zeros in its stead
    ctx.save_for_backward(inputs[0], inputs[1], output[1])


def _differentiate_gate(ctx: Any, gradient: torch.Tensor, unused: None) -> tuple[torch.Tensor | None, ...]:
    x, weight, projected = ctx.saved_tensors
    gradients, sums = _gate_gradients(gradient.contiguous(), projected)
    of_x, of_weight, of_bias = ctx.needs_input_grad  # LoRA leaves the weights as they are
    return (
        gradients @ weight if of_x else None,
        gradients.t() @ x if of_weight else None,
        sums.to(weight.dtype) if of_bias else None,
    )


gated_linear.register_autograd(_differentiate_gate, setup_context=_keep_gate)


@triton.jit
def _attend(query, key, value, attended, length, width, ROWS: tl.constexpr, DIM: tl.constexpr):
    at, kept = _sequence(length, width, ROWS, DIM)
    q, k = tl.load(query + at, kept, 0.0), tl.load(key + at, kept, 0.0)
    v = tl.load(value + at, kept, 0.0)
    weights = _weights(q, k, length, ROWS, DIM).to(v.dtype)
    tl.store(attended + at, tl.dot(weights, v).to(v.dtype), kept)


@triton.jit
def _attend_backward(
    gradient, query, key, value, of_query, of_key, of_value, length, width, ROWS: tl.constexpr, DIM: tl.constexpr
):
    at, kept = _sequence(length, width, ROWS, DIM)
    q, k = tl.load(query + at, kept, 0.0), tl.load(key + at, kept, 0.0)
    v, g = tl.load(value + at, kept, 0.0), tl.load(gradient + at, kept, 0.0)
    weights = _weights(q, k, length, ROWS, DIM)
    tl.store(of_value + at, tl.dot(tl.trans(weights.to(g.dtype)), g).to(v.dtype), kept)
    slopes = tl.dot(g, tl.trans(v))
    slopes = weights * (slopes - tl.sum(weights * slopes, 1)[:, None]) * (DIM**-0.5)
    slopes = slopes.to(q.dtype)
    tl.store(of_query + at, tl.dot(slopes, k).to(q.dtype), kept)
    tl.store(of_key + at, tl.dot(tl.trans(slopes), q).to(q.dtype), kept)


@triton.jit
def _sequence(length, width, ROWS: tl.constexpr, DIM: tl.constexpr):
    """Where this program's rows (ROWS, DIM) lie, and which of them there are."""
    rows = tl.arange(0, ROWS)[:, None]
    first = tl.program_id(0).to(tl.int64) * length
    return (first + rows) * width + tl.program_id(1) * DIM + tl.arange(0, DIM)[None, :], rows < length


@triton.jit
def _weights(q, k, length, ROWS: tl.constexpr, DIM: tl.constexpr):
    """softmax(q k^T / sqrt(DIM)) over the rows that there are."""
    scores = tl.dot(q, tl.trans(k)) * (DIM**-0.5)
    scores = tl.where(tl.arange(0, ROWS)[None, :] < length, scores, float("-inf"))
    powers = tl.exp(scores - tl.max(scores, 1)[:, None])
    return powers / tl.sum(powers, 1)[:, None]


@triton.jit
def _gate(projected, gated, total, width, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    kept = at < total
    place = at + at // width * width
    value = tl.load(projected + place, kept, 0.0).to(tl.float32)
    gate = tl.load(projected + place + width, kept, 0.0).to(tl.float32)
    tl.store(gated + at, (value * gate * _open(gate)).to(gated.dtype.element_ty), kept)


@triton.jit
def _gate_backward(gradient, projected, gradients, sums, rows, width, part, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    first = tl.program_id(1) * part
    last = tl.minimum(first + part, rows)
    values, gates = tl.zeros((ROWS, COLUMNS), tl.float32), tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(first, last, ROWS):
        row = (start + tl.arange(0, ROWS)[:, None]).to(tl.int64)
        kept = (row < last) & (column < width)
        place = row * (2 * width) + column
        g = tl.load(gradient + row * width + column, kept, 0.0).to(tl.float32)
        value = tl.load(projected + place, kept, 0.0).to(tl.float32)
        gate = tl.load(projected + place + width, kept, 0.0).to(tl.float32)
        share = _open(gate)
        of_value = g * gate * share
        of_gate = g * value * (share + gate * 0.3989422804014327 * tl.exp(-0.5 * gate * gate))
        tl.store(gradients + place, of_value.to(gradients.dtype.element_ty), kept)
        tl.store(gradients + place + width, of_gate.to(gradients.dtype.element_ty), kept)
        values += of_value
        gates += of_gate
    at = sums + tl.program_id(1) * (2 * width) + column
    tl.store(at, tl.sum(values, 0)[None, :], column < width)
    tl.store(at + width, tl.sum(gates, 0)[None, :], column < width)


@triton.jit
def _open(gate):
    """The normal distribution's share below `gate`: gelu(gate) is gate times it."""
    return 0.5 * (1 + tl.erf(gate * 0.7071067811865476))
