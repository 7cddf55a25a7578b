"""Where the networks of a stage run."""

import os

import torch


def best_device() -> torch.device:
    """The first GPU that this process sees (CUDA_VISIBLE_DEVICES= hides them all), else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def repeatable_device() -> torch.device:
    """As `best_device`; on a GPU every computation from here on is the same to the bit each time, in full float32.

    What has no such algorithm raises RuntimeError. Call it before the process's first matrix product on the GPU.
    """
    device = best_device()
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.allow_tf32 = False
    return device
