"""A request to stop, taken up where stopping costs nothing: between two steps of training.

Whoever runs a stage calls `request` (from a signal handler, say); the training loop asks `requested` before each step,
keeps its state and raises Interrupted. A handler that saved in mid-step would save a torn state.
"""

import sys

_asked = False


class Interrupted(Exception):
    """Work was stopped on request; what was done is kept, and the same stage continues from it."""


def request() -> None:
    """Ask whatever trains in this process to stop before its next step."""
    global _asked  # noqa: PLW0603  (a process has one fate)
    _asked = True


def withdraw() -> None:
    """Take a request back."""
    global _asked  # noqa: PLW0603
    _asked = False


def requested() -> bool:
    """
    Whether to stop now.

    In a process group every process must ask at the same step, and all get the same answer: a signal that reached one
    stops all of them after the same step.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_initialized():
        return _asked
    import torch

    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    asked = torch.tensor([int(_asked)], device=device)
    distributed.all_reduce(asked, op=distributed.ReduceOp.MAX)
    return bool(asked.item())
