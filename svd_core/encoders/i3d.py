"""I3D (Carreira & Zisserman 2017, "Quo Vadis, Action Recognition?"; inflated Inception-v1, RGB) of Kinetics-400.

The network whose 400 logits the Fréchet video distance compares (Unterthiner et al. 2018). BatchNorm is folded into the
convolutions. Frames are kept as a batch of channels-last images, time first, and a 3-D convolution is the sum of 2-D
ones over shifted frames, which is the same arithmetic and about twice as fast on a CPU as PyTorch's 3-D kernels.
"""

from functools import reduce
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

SIDE = 224
MIN_FRAMES = 9
"""With fewer, fewer than the two frames that the last average pool spans are left."""

LAYERS = {"logits": 400, "pool": 1024}
"""What `features` can give, with its dimensions: FVD's logits, or what the classifier sees."""

LOGITS = "Logits/Conv3d_0c_1x1"
BRANCHES = ("0/Conv3d_0a_1x1", *(f"{branch}/Conv3d_{part}" for branch in (1, 2) for part in ("0a_1x1", "0b_3x3")))
UNITS = (
    *("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"),
    *(
        f"Mixed_{block}/Branch_{unit}"
        for block in ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")
        for unit in (*BRANCHES, "3/Conv3d_0b_1x1")
    ),
)
"""The convolutions that have a BatchNorm, in the order of the original's definition."""

Kernels = dict[str, Tensor]


class I3D(nn.Module):
    """Frozen I3D. Build it with `load`; on a CPU, clips go through one at a time, so no clip sees its neighbours."""

    def __init__(self, kernels: Kernels) -> None:
        super().__init__()
        stem = kernels["Conv3d_1a_7x7.weight"]
        self.stem = Convolution(
            stem.transpose(1, 2).flatten(1, 2).unsqueeze(2), kernels["Conv3d_1a_7x7.bias"], stride=2, padding=0
        )
        self.conv_2b = _unit(kernels, "Conv3d_2b_1x1")
        self.conv_2c = _unit(kernels, "Conv3d_2c_3x3")
        self.mixed_3 = nn.ModuleList(Mixed(kernels, f"Mixed_3{letter}") for letter in "bc")
        self.mixed_4 = nn.ModuleList(Mixed(kernels, f"Mixed_4{letter}") for letter in "bcdef")
        self.mixed_5 = nn.ModuleList(Mixed(kernels, f"Mixed_5{letter}") for letter in "bc")
        self.logits_weight = nn.Buffer(kernels[f"{LOGITS}.weight"].flatten(1))
        self.logits_bias = nn.Buffer(kernels[f"{LOGITS}.bias"])

    @classmethod
    def load(cls, path: Path) -> Self:
        """From the cached safetensors file (see `svd_core.encoders.weights`)."""
        return cls.of(load_file(path))

    @classmethod
    def of(cls, weights: dict[str, Tensor]) -> Self:
        """From the tensors of such a file."""
        return cls(_fold_batch_norm(weights)).eval()

    @torch.inference_mode()
    def features(self, videos: Tensor, layer: str = "logits") -> Tensor:
        """Logits (N, 400) of float videos (N, T, 3, H, W) in [0, 1], T at least 9, any H and W.

        Another layer of `LAYERS` on request. Raises ValueError for layers and shapes that there are not.

        Frames are resized to 224 x 224 bilinearly with half-pixel centres, without antialiasing and without keeping the
        aspect ratio, and scaled to [-1, 1]: what the PyTorch ports of FVD since StyleGAN-V do.
        """
        if videos.ndim != 5 or videos.shape[2] != 3 or videos.shape[1] < MIN_FRAMES:
            raise ValueError(f"I3D needs videos (N, T >= {MIN_FRAMES}, 3, H, W), got {tuple(videos.shape)}")
        if layer not in LAYERS:
            raise ValueError(f"I3D gives no layer {layer!r}; there are {', '.join(LAYERS)}")
        return torch.cat([self._row(video, layer) for video in videos])

    def _row(self, video: Tensor, layer: str) -> Tensor:
        frames = F.interpolate(video * 2 - 1, (SIDE, SIDE), mode="bilinear", align_corners=False)
        x = _pool_space(self.stem(_stem_windows(frames)))
        x = _pool_space(self.conv_2c(self.conv_2b(x)))
        for mixed in self.mixed_3:
            x = mixed(x)
        x = _pool_time(_pool_space(x), window=3)
        for mixed in self.mixed_4:
            x = mixed(x)
        x = _pool_time(F.max_pool2d(x, 2, 2), window=2)
        for mixed in self.mixed_5:
            x = mixed(x)
        return self._head(x, layer)

    def _head(self, x: Tensor, layer: str) -> Tensor:
        """Average pool over 2 x 7 x 7, the classifier for logits, and the mean over the remaining time steps."""
        means = x.mean((2, 3))
        pooled = (means[1:] + means[:-1]) / 2
        if layer == "pool":
            return pooled.mean(0, keepdim=True)
        return F.linear(pooled, self.logits_weight, self.logits_bias).mean(0, keepdim=True)


class Convolution(nn.Module):
    """A 3-D convolution with ReLU on (T, C, H, W), "SAME" padding, stride in space only, 1 or 3 taps in time."""

    def __init__(self, weight: Tensor, bias: Tensor, stride: int = 1, padding: int | None = None) -> None:
        super().__init__()
        self.stride = stride
        self.padding = weight.shape[-1] // 2 if padding is None else padding
        taps = [tap.contiguous(memory_format=torch.channels_last) for tap in weight.unbind(2)]
        self.bias = nn.Buffer(bias)
        self.centre = nn.Buffer(taps[len(taps) // 2])
        self.before: Tensor | None
        self.after: Tensor | None
        self.register_buffer("before", taps[0] if len(taps) == 3 else None)
        self.register_buffer("after", taps[2] if len(taps) == 3 else None)

    def forward(self, x: Tensor) -> Tensor:
        """Output (T, C', H', W')."""
        y = F.conv2d(x, self.centre, self.bias, self.stride, self.padding)
        if self.before is not None and self.after is not None and len(x) > 1:
            y[1:] += F.conv2d(x[:-1], self.before, padding=self.padding)
            y[:-1] += F.conv2d(x[1:], self.after, padding=self.padding)
        return y.relu_()


class Mixed(nn.Module):
    """The Inception module: four branches, concatenated over channels."""

    def __init__(self, kernels: Kernels, name: str) -> None:
        super().__init__()
        self.branch_0 = _unit(kernels, f"{name}/Branch_0/Conv3d_0a_1x1")
        self.branch_1 = nn.Sequential(
            *(_unit(kernels, f"{name}/Branch_1/Conv3d_{part}") for part in ("0a_1x1", "0b_3x3"))
        )
        self.branch_2 = nn.Sequential(
            *(_unit(kernels, f"{name}/Branch_2/Conv3d_{part}") for part in ("0a_1x1", "0b_3x3"))
        )
        self.branch_3 = _unit(kernels, f"{name}/Branch_3/Conv3d_0b_1x1")

    def forward(self, x: Tensor) -> Tensor:
        """(T, C, H, W) to (T, C', H, W)."""
        pooled = F.max_pool2d(_max_over_neighbours(x), 3, 1, 1)
        return torch.cat([self.branch_0(x), self.branch_1(x), self.branch_2(x), self.branch_3(pooled)], 1)


def _unit(kernels: Kernels, name: str) -> Convolution:
    return Convolution(kernels[f"{name}.weight"], kernels[f"{name}.bias"])


def _fold_batch_norm(weights: dict[str, Tensor]) -> Kernels:
    """Convolutions that include their BatchNorm (no scale, epsilon 1e-3, as in Sonnet)."""
    kernels = {name: tensor for name, tensor in weights.items() if name.endswith((".weight", ".bias"))}
    for unit in [name.removesuffix(".mean") for name in weights if name.endswith(".mean")]:
        scale = torch.rsqrt(weights[f"{unit}.var"].double() + 1e-3)
        kernels[f"{unit}.weight"] = (kernels[f"{unit}.weight"].double() * scale.view(-1, 1, 1, 1, 1)).float()
        kernels[f"{unit}.bias"] = (weights[f"{unit}.beta"].double() - weights[f"{unit}.mean"].double() * scale).float()
    return kernels


def _same_padding(length: int, window: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "SAME" padding before and after."""
    total = max((-(-length // stride) - 1) * stride + window - length, 0)
    return total // 2, total - total // 2


def _shifts(x: Tensor, window: int) -> list[Tensor]:
    """The 1st, 2nd, ... `window`-th frame under each step of a window in time at stride 2, zeros padded as "SAME"."""
    padded = F.pad(x, (0, 0, 0, 0, 0, 0, *_same_padding(len(x), window, stride=2)))
    return [padded[first : len(padded) - window + 1 + first : 2] for first in range(window)]


def _stem_windows(frames: Tensor) -> Tensor:
    """The seven frames under each step of the first convolution as 21 channels, padded as "SAME" in space too."""
    side = _same_padding(SIDE, 7, stride=2)
    padded = F.pad(frames, (*side, *side))
    return torch.cat(_shifts(padded, 7), 1).contiguous(memory_format=torch.channels_last)


def _pool_space(x: Tensor) -> Tensor:
    """Max over 3 x 3 at stride 2; `ceil_mode` is "SAME" for the even sides met here."""
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


def _pool_time(x: Tensor, window: int) -> Tensor:
    """Max over `window` frames at stride 2. Zeros pad as well as minus infinity would: activations are not negative."""
    return reduce(torch.maximum, _shifts(x, window))


def _max_over_neighbours(x: Tensor) -> Tensor:
    """Max over each frame, the one before and the one after."""
    y = x.clone()
    torch.maximum(y[1:], x[:-1], out=y[1:])
    torch.maximum(y[:-1], x[1:], out=y[:-1])
    return y
