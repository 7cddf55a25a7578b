"""RAFT (Teed & Deng 2020): optical flow by torchvision's network, from a file of weights that the user has."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torchvision.models.optical_flow import raft_large, raft_small


class Raft:
    """Frozen RAFT. Build it with `load`; call it on two images."""

    def __init__(self, model: Any) -> None:
        self.model = model.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path) -> Self:
        """From the state dict of torchvision's `raft_large` or `raft_small`. Raises ValueError for any other."""
        tensors = load_file(path)
        for build in (raft_large, raft_small):
            model = build(weights=None)
            shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
            if shapes == {name: tensor.shape for name, tensor in tensors.items()}:
                model.load_state_dict(tensors)
                return cls(model)
        raise ValueError(f"{path}: not the state dict of torchvision's raft_large or raft_small")

    @torch.inference_mode()
    def __call__(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Vectors (H, W, 2) in pixels, x first, from one uint8 RGB image (H, W, 3) to the next.

        Both sides are multiples of 8 of at least 128.
        """
        images = (torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1 for image in (before, after))
        flow: torch.Tensor = self.model(*images)[-1][0]
        return flow.permute(1, 2, 0).numpy()
