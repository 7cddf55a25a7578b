"""How fast training goes and what it takes: samples a second, model FLOPs utilisation, memory.

These differ from run to run, so they stand in a file of their own, `timing.jsonl`, beside `metrics.jsonl`, which does
not. Lines of both have `samples` in common.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from svd_core.memory import peak_bytes
from svd_core.training.batches import Batch
from svd_core.training.execution import Execution, Objective
from svd_core.training.state import TrainingState

SHEETS: dict[tuple[str, torch.dtype], float] = {
    ("H200 NVL", torch.bfloat16): 835e12,
    ("H200", torch.bfloat16): 989e12,
    ("H100 NVL", torch.bfloat16): 835e12,
    ("H100 PCIe", torch.bfloat16): 756e12,
    ("H100", torch.bfloat16): 989e12,
    ("A100", torch.bfloat16): 312e12,
    ("H200 NVL", torch.float32): 60e12,
    ("H200", torch.float32): 67e12,
    ("H100 NVL", torch.float32): 60e12,
    ("H100 PCIe", torch.float32): 51e12,
    ("H100", torch.float32): 67e12,
    ("A100", torch.float32): 19.5e12,
}
"""Dense FLOP/s of NVIDIA's data sheets, by a part of the card's name; the first that fits counts."""
PRODUCT_SIDE = 512


@dataclass(frozen=True)
class Peak:
    """The most FLOP/s that one process could do, and how that is known; null where it is not."""

    flops_per_second: float | None
    source: str


@cache
def peak(device: torch.device, precision: torch.dtype) -> Peak:
    """What MFU is measured against: a card's data sheet, or this CPU's fastest large matrix product."""
    words = str(precision).removeprefix("torch.")
    if device.type == "cuda":
        card = torch.cuda.get_device_name(device)
        known = next((value for (name, of), value in SHEETS.items() if name in card and of == precision), None)
        return Peak(known, f"data sheet of {card}, dense {words}" if known else f"no data sheet of {card} in {words}")
    matrix = torch.rand(PRODUCT_SIDE, PRODUCT_SIDE, device=device).to(precision)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        torch.mm(matrix, matrix)
        seconds.append(time.perf_counter() - started)
    source = f"fastest of five {words} products of {PRODUCT_SIDE}x{PRODUCT_SIDE} matrices here"
    return Peak(2 * PRODUCT_SIDE**3 / min(seconds), f"{source}, {torch.get_num_threads()} threads")


def flops_per_sample(network: nn.Module, objective: Objective, batch: Batch) -> float:
    """FLOPs of a sample's way through the network and back, a multiply-add as two, nothing computed twice.

    Counted on tensors of a shape but no values. Ask before the network is wrapped, compiled or told to recompute.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {
        name: value.detach().to("meta").requires_grad_(value.requires_grad and value.is_floating_point())
        for name, value in tensors.items()
    }

    def called(*inputs: Any, **options: Any) -> Any:
        return functional_call(network, shapes, inputs, options)

    with FlopCounterMode(display=False) as counter:
        objective(called, batch.to(torch.device("meta"))).sum().backward()  # type: ignore[arg-type]
    return float(counter.get_total_flops()) / len(batch.clip_ids)


def memory(device: torch.device) -> int | None:
    """Peak bytes: allocated on the card since the process began, or resident on the CPU (null where none can tell)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_bytes()


class Pace:
    """Writes a line of `timing.jsonl` for every one of `metrics.jsonl`, and before them what their figures rest on.

    Every process has one; the first one writes. mfu: FLOPs of all samples by what all processes could have done in
    that time, null where either is unknown. memory_bytes: the first process's `memory`.
    """

    def __init__(self, path: Path, execution: Execution, flops: float | None, limit: Peak) -> None:
        self.path, self.execution, self.flops, self.limit = path, execution, flops, limit
        self.since = (0, time.monotonic())
        self._write({"flops_per_sample": flops, "peak": asdict(limit), "processes": execution.world})

    def begin(self, state: TrainingState) -> None:
        """What has gone by until now is no part of the next figures."""
        self.since = (state.samples, time.monotonic())

    def line(self, state: TrainingState) -> Mapping[str, float]:
        """Figures of the steps since the last call."""
        rate = (state.samples - self.since[0]) / (time.monotonic() - self.since[1])
        figures = {"samples_per_second": rate, "mfu": self._utilisation(rate)}
        self._write({"samples": state.samples, **figures, "memory_bytes": memory(self.execution.device)})
        self.begin(state)
        return {name: value for name, value in figures.items() if value is not None}

    def _utilisation(self, rate: float) -> float | None:
        if self.flops is None or self.limit.flops_per_second is None:
            return None
        return rate * self.flops / (self.limit.flops_per_second * self.execution.world)

    def _write(self, line: Mapping[str, Any]) -> None:
        if self.execution.rank == 0:
            with self.path.open("a") as lines:
                lines.write(json.dumps(line) + "\n")
