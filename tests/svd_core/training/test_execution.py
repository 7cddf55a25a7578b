"""Several processes and micro-batches: the same gradients, the same training."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from svd_core.tasks.settings import ExecutionSettings
from svd_core.training.execution import Execution

PROGRAM = Path(__file__).with_name("two_processes.py")


def test_samples_are_dealt_once_each() -> None:
    samples = range(24, 48)
    dealt = [part for rank in range(3) for part in Execution(rank=rank, world=3, micro_batch=2).micro_batches(samples)]
    assert [index for part in dealt for index in part] == list(samples)
    assert {len(part) for part in dealt} == {2}
    with pytest.raises(ValueError, match="a batch of 4 cannot be dealt evenly to 3 processes"):
        Execution(world=3).micro_batches(range(4))


def run(out: Path, processes: int, *arguments: str) -> Path:
    out.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    workers = []
    for rank in range(processes):
        place = {"RANK": str(rank), "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, str(PROGRAM), str(out), *arguments]
        workers.append(subprocess.Popen(command, env={**os.environ, **place, "OMP_NUM_THREADS": "1"}))
    assert [worker.wait(timeout=280) for worker in workers] == [0] * processes
    return out


def differences(one: Path, other: Path) -> dict[str, float]:
    """Largest relative difference of all gradients together, and of the loss curves."""
    gradients = [
        torch.cat([v.flatten() for v in load_file(f / "gradients.safetensors").values()]) for f in (one, other)
    ]
    curves = [
        torch.tensor([json.loads(line)["loss"] for line in (f / "metrics.jsonl").read_text().splitlines()])
        for f in (one, other)
    ]
    return {
        name: ((b - a).norm() / a.norm()).item() for name, (a, b) in {"gradients": gradients, "losses": curves}.items()
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("alone"), 1, "ddp", "0", "25")


@pytest.mark.slow
def test_micro_batches_and_recomputed_activations_give_the_same_gradients(alone: Path, tmp_path: Path) -> None:
    found = differences(alone, run(tmp_path, 1, "ddp", "1", "25", "checkpointing"))
    assert found["gradients"] < 1e-5
    assert found["losses"] < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_give_the_gradients_and_losses_of_one(strategy: str, alone: Path, tmp_path: Path) -> None:
    found = differences(alone, run(tmp_path, 2, strategy, "1", "25"))
    assert found["gradients"] < 1e-5
    assert found["losses"] < 1e-5


@pytest.mark.slow
def test_a_run_continues_on_another_number_of_processes(alone: Path, tmp_path: Path) -> None:
    """Ten steps on two processes under FSDP, the rest on one: no sample is read twice or left out."""
    run(tmp_path, 2, "fsdp", "0", "10")
    found = differences(alone, run(tmp_path, 1, "ddp", "0", "25"))
    assert found["losses"] < 1e-5
    assert found["gradients"] < 1e-4


def test_execution_is_read_from_what_torchrun_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    execution = Execution.from_environment(ExecutionSettings(precision="bfloat16", strategy="fsdp", micro_batch=2))
    assert (execution.rank, execution.world, execution.precision) == (1, 4, torch.bfloat16)
