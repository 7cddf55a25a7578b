"""The device of a stage, on machines with and without a GPU."""

import pytest
import torch

from svd_core.device import CHOSEN, best_device


def test_without_a_gpu_it_is_the_cpu_unless_one_was_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv(CHOSEN, "")
    assert best_device() == torch.device("cpu")
    monkeypatch.setenv(CHOSEN, "3")
    with pytest.raises(RuntimeError, match="PyTorch cannot use GPU 3"):
        best_device()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert best_device() == torch.device("cuda")
