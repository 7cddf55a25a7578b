"""
Weights that their authors publish as TorchScript or as a pickled state dict, made into safetensors.

Both may run code when opened, so the caller has compared the file's digest with a pinned one. Of TorchScript only the
tensors are kept: the network is one of ours, and the conversion counts only if both give the same features.
"""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the table of weights loads without torch
    from torch import Tensor

SAME = 1e-3
"""Largest difference of features, relative to their size: rounding, with which two kinds of convolution differ."""


def state_dict(path: Path) -> bytes:
    """A .pth of tensors by name. Raises ValueError for a file that holds anything else, of which nothing is run."""
    import torch

    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path}: no state dict in PyTorch's format: {error}") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise ValueError(f"{path}: holds something other than tensors by name")
    return _safetensors(tensors)


def inception(path: Path) -> bytes:
    """NVIDIA's inception-2015-12-05.pt, under its own names. Raises ValueError for another network."""
    import torch

    from svd_core.encoders.inception_v3 import InceptionV3

    script = _script(path)
    tensors = {name: tensor for name, tensor in script.state_dict().items() if name.startswith("layers.")}
    picture = torch.rand(1, 3, 299, 299, generator=torch.Generator().manual_seed(0)) * 2 - 1
    _check_same(path, lambda: script.layers(picture).flatten(1), lambda: InceptionV3(tensors)(picture))
    return _safetensors(tensors)


def i3d(path: Path) -> bytes:
    """
    StyleGAN-V's i3d_torchscript.pt, under the names that `svd_core.encoders.i3d` reads.

    Units come in the order of the network's definition, whatever they are called there. Raises ValueError for another
    network.
    """
    import torch

    from svd_core.encoders.i3d import I3D

    script = _script(path)
    clip = torch.rand(1, 10, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    theirs = partial(script, clip.transpose(1, 2) * 2 - 1, rescale=False, resize=False, return_features=True)
    faults = []
    for epsilon in (1e-3, 1e-5):  # the original's, and PyTorch's default, which some ports have left
        tensors = _i3d_units(script.state_dict(), epsilon)
        try:
            _check_same(path, theirs, partial(I3D.of(tensors).features, clip))
        except ValueError as error:
            faults.append(error)
        else:
            return _safetensors(tensors)
    raise faults[0]


def _i3d_units(tensors: "dict[str, Tensor]", epsilon: float) -> "dict[str, Tensor]":
    """Each unit's convolution and BatchNorm, whose scale and epsilon go where `I3D` has one and 1e-3."""
    from svd_core.encoders.i3d import LOGITS, UNITS

    units: list[dict[str, Tensor]] = []
    for name, tensor in tensors.items():
        if tensor.ndim == 5:
            units.append({"kernel": tensor})
        elif tensor.ndim == 1 and units:
            units[-1][name.rpartition(".")[2].removeprefix("running_")] = tensor
    heads = [unit for unit in units if "mean" not in unit]
    bodies = [unit for unit in units if "mean" in unit]
    if len(heads) != 1 or len(bodies) != len(UNITS):
        raise ValueError(f"{len(bodies)} convolutions with BatchNorm and {len(heads)} without, not {len(UNITS)} and 1")
    found = {f"{LOGITS}.weight": heads[0]["kernel"], f"{LOGITS}.bias": heads[0]["bias"]}
    for name, unit in zip(UNITS, bodies, strict=True):
        scale = unit.get("weight", unit["var"].new_ones(()))
        found |= {
            f"{name}.weight": unit["kernel"] * scale.view(-1, 1, 1, 1, 1),
            f"{name}.mean": unit["mean"] * scale,
            f"{name}.var": unit["var"] + (epsilon - 1e-3),
            f"{name}.beta": unit["bias"],
        }
    return found


def _script(path: Path) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.load` is", FutureWarning)  # there is no other form of the file
        return torch.jit.load(str(path), map_location="cpu").eval()


def _check_same(path: Path, theirs: "Callable[[], Tensor]", ours: "Callable[[], Tensor]") -> None:
    import torch

    try:
        with torch.inference_mode():
            a, b = theirs(), ours()
    except (KeyError, RuntimeError, AttributeError) as error:
        raise ValueError(f"{path}: another network than expected: {error}") from error
    gap = float((a - b).norm() / a.norm()) if a.shape == b.shape else float("inf")
    if not gap < SAME:
        raise ValueError(f"{path}: its features {tuple(a.shape)} differ from ours {tuple(b.shape)} by {gap:.2g}")


def _safetensors(tensors: "dict[str, Tensor]") -> bytes:
    from safetensors.torch import save

    return save({name: tensors[name].contiguous() for name in sorted(tensors)})
