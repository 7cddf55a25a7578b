"""Where the networks of a stage run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

CHOSEN = "ABLATE_GPU"
"""Environment variable: the GPU that a local job was given."""


def best_device() -> torch.device:
    """The first GPU that this process sees (CUDA_VISIBLE_DEVICES= hides them all), else the CPU.

    Raises RuntimeError where the launcher chose a GPU that cannot be used: the CPU would take a hundred times as long,
    and nobody would notice.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if chosen := os.environ.get(CHOSEN):
        raise RuntimeError(f"PyTorch cannot use GPU {chosen}; set CUDA_VISIBLE_DEVICES= (empty) to run on the CPU")
    return torch.device("cpu")


@contextmanager
def flags_restored() -> Iterator[None]:
    """Afterwards what `repeatable_device` set is as it was: who prepares a training must not change how it computes."""
    backend, utilities = torch.backends.cudnn, torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        backend.allow_tf32,
        utilities.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        backend.allow_tf32, utilities.fill_uninitialized_memory = before[1:]  # type: ignore[attr-defined]


def repeatable_device() -> torch.device:
    """As `best_device`; on a GPU this process uses deterministic algorithms only from here on, and full float32.

    What has no such algorithm raises RuntimeError. Call it before the process's first matrix product on the GPU.
    """
    device = best_device()
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.allow_tf32 = False
    return device
