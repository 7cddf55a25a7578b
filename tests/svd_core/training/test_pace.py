import json
from pathlib import Path

import pytest
import torch
from torch import nn

from svd_core.training import pace
from svd_core.training.batches import Batch
from svd_core.training.execution import Execution
from svd_core.training.pace import Pace, Peak, flops_per_sample, memory, peak
from svd_core.training.state import TrainingState

LENGTH, WIDTH, INNER = 6, 4, 8


def batch(samples: int) -> Batch:
    values = torch.zeros(samples, LENGTH, WIDTH)
    return Batch(values, values, torch.ones(samples), values, values, [str(n) for n in range(samples)])


def mean_output(called: nn.Module, seen: Batch) -> torch.Tensor:
    return called(seen.clean).flatten(1).mean(1)


@pytest.mark.parametrize("samples", [1, 5])
def test_flops_are_those_of_the_matrix_products(samples: int) -> None:
    """Forward both layers; backward both weights, and of the inputs only that of the second layer."""
    network = nn.Sequential(nn.Linear(WIDTH, INNER), nn.GELU(), nn.Linear(INNER, WIDTH))
    product = 2 * LENGTH * WIDTH * INNER
    assert flops_per_sample(network, mean_output, batch(samples)) == 5 * product
    network[0].requires_grad_(False)
    assert flops_per_sample(network, mean_output, batch(samples)) == 3 * product
    assert all(parameter.grad is None and parameter.device.type == "cpu" for parameter in network.parameters())


def test_lines_hold_rate_utilisation_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 100.0, 104.0, 110.0, 111.0])
    monkeypatch.setattr(pace.time, "monotonic", lambda: next(clock))
    state = TrainingState.start(nn.Linear(2, 2), lr=0.1, weight_decay=0)
    watched = Pace(tmp_path / "timing.jsonl", Execution(), 1e6, Peak(1e7, "a test"))
    state.samples = 40  # resumed here, at 100 seconds
    watched.begin(state)
    state.samples = 60
    assert watched.line(state) == {"samples_per_second": 5.0, "mfu": 0.5}
    head, line = map(json.loads, (tmp_path / "timing.jsonl").read_text().splitlines())
    limit = {"flops_per_second": 1e7, "source": "a test"}
    assert head == {"flops_per_sample": 1e6, "peak": limit, "processes": 1}
    assert line.pop("memory_bytes") > 2**20
    assert line == {"samples": 60, "samples_per_second": 5.0, "mfu": 0.5}


def test_an_unknown_card_gives_no_utilisation_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = {"H100 80GB HBM3": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H200 NVL": 835e12, "new one": None}
    for card, expected in cards.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, card=card: card)
        found = peak.__wrapped__(torch.device("cuda"), torch.bfloat16)
        assert found.flops_per_second == expected
        assert card in found.source
    watched = Pace(tmp_path / "timing.jsonl", Execution(), 1e6, found)
    assert "mfu" not in watched.line(TrainingState.start(nn.Linear(2, 2), lr=0.1, weight_decay=0))
    head, line = map(json.loads, (tmp_path / "timing.jsonl").read_text().splitlines())
    assert head["peak"]["source"] == "no data sheet of new one in bfloat16"
    assert line["mfu"] is None


def test_a_cpus_peak_is_what_it_just_did() -> None:
    found = peak(torch.device("cpu"), torch.float32)
    assert found.flops_per_second is not None
    assert found.flops_per_second > 1e8
    assert "float32 products of 512x512 matrices" in found.source


def test_memory_is_the_most_that_was_ever_resident() -> None:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert memory(torch.device("cpu")) == pytest.approx(1024 * int(status["VmHWM"].split()[0]), rel=0.05)
