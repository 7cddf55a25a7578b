"""State dicts of the user's own weights: safetensors, or the .pth files that their authors publish."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor


def state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name. A .pth is read by PyTorch's restricted unpickler, which builds tensors and runs nothing.

    Raises FileNotFoundError, and ValueError for a file that holds anything else.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: neither .safetensors nor a state dict in PyTorch's format: {error}") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise ValueError(f"{path}: holds something other than tensors by name")
    return tensors
