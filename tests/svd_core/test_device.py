"""The device of a stage, on machines with and without a GPU."""

import pytest
import torch

from svd_core.device import CHOSEN, best_device, flags_restored, repeatable_device


def test_without_a_gpu_it_is_the_cpu_unless_one_was_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv(CHOSEN, "")
    assert best_device() == torch.device("cpu")
    monkeypatch.setenv(CHOSEN, "3")
    with pytest.raises(RuntimeError, match="PyTorch cannot use GPU 3"):
        best_device()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert best_device() == torch.device("cuda")


def test_preparing_on_a_gpu_changes_nothing_of_what_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.backends.cudnn.allow_tf32
    with flags_restored():
        repeatable_device()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.allow_tf32
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.allow_tf32 == before
