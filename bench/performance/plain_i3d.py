"""I3D as the original code writes it, with 3-D operators and unfolded BatchNorm: the peer of our own."""

import torch
import torch.nn.functional as F
from torch import Tensor

Triple = tuple[int, int, int]


def plain_i3d(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Logits (N, 400) of x (N, 3, T, 224, 224) in [-1, 1]."""
    x = _pool(_unit(weights, x, "Conv3d_1a_7x7", (2, 2, 2)), (1, 3, 3), (1, 2, 2))
    x = _pool(_unit(weights, _unit(weights, x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3"), (1, 3, 3), (1, 2, 2))
    for letter in "bc":
        x = _mixed(weights, x, f"Mixed_3{letter}")
    x = _pool(x, (3, 3, 3), (2, 2, 2))
    for letter in "bcdef":
        x = _mixed(weights, x, f"Mixed_4{letter}")
    x = _pool(x, (2, 2, 2), (2, 2, 2))
    for letter in "bc":
        x = _mixed(weights, x, f"Mixed_5{letter}")
    logits = F.conv3d(F.avg_pool3d(x, (2, 7, 7), 1), weights["Logits/Conv3d_0c_1x1.weight"])
    return (logits + weights["Logits/Conv3d_0c_1x1.bias"].view(1, -1, 1, 1, 1)).mean((2, 3, 4))


def _mixed(weights: dict[str, Tensor], x: Tensor, name: str) -> Tensor:
    branches = [
        _unit(weights, x, f"{name}/Branch_0/Conv3d_0a_1x1"),
        _unit(weights, _unit(weights, x, f"{name}/Branch_1/Conv3d_0a_1x1"), f"{name}/Branch_1/Conv3d_0b_3x3"),
        _unit(weights, _unit(weights, x, f"{name}/Branch_2/Conv3d_0a_1x1"), f"{name}/Branch_2/Conv3d_0b_3x3"),
        _unit(weights, _pool(x, (3, 3, 3), (1, 1, 1)), f"{name}/Branch_3/Conv3d_0b_1x1"),
    ]
    return torch.cat(branches, 1)


def _unit(weights: dict[str, Tensor], x: Tensor, name: str, stride: Triple = (1, 1, 1)) -> Tensor:
    kernel = weights[f"{name}.weight"]
    x = F.conv3d(_same(x, tuple(kernel.shape[2:]), stride), kernel, stride=stride)
    mean, var, beta = (weights[f"{name}.{part}"] for part in ("mean", "var", "beta"))
    return F.relu(F.batch_norm(x, mean, var, None, beta, eps=1e-3))


def _pool(x: Tensor, window: Triple, stride: Triple) -> Tensor:
    return F.max_pool3d(_same(x, window, stride, -torch.inf), window, stride)


def _same(x: Tensor, window: tuple[int, ...], stride: Triple, value: float = 0.0) -> Tensor:
    """TensorFlow's "SAME" padding of (N, C, T, H, W)."""
    totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[2:], window, stride, strict=True)]
    return F.pad(x, [side for total in reversed(totals) for side in (total // 2, total - total // 2)], value=value)
