"""Everything that training carries from one step to the next, in one object, and its checkpoints.

A checkpoint is one safetensors file named by the samples seen: `state/000002400.safetensors`. It appears whole or not
at all.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

KEPT_CHECKPOINTS = 2
MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class TrainingState:
    """Network, its moving average, optimiser, and how far training is.

    pending: (loss, gradient norm) of the steps that no line of metrics.jsonl covers yet; metrics_bytes: the length of
    that file when the state was true.
    """

    network: nn.Module
    optimizer: torch.optim.AdamW
    ema: dict[str, torch.Tensor]
    samples: int = 0
    steps: int = 0
    pending: list[tuple[float, float]] = field(default_factory=list)
    metrics_bytes: int = 0

    @classmethod
    def start(
        cls, network: nn.Module, *, lr: float, weight_decay: float, lr_scale: Callable[[str], float] = lambda name: 1.0
    ) -> "TrainingState":
        """The state before the first step. The moving average starts at the network's own weights.

        `lr_scale` tells from a parameter's name how many times `lr` it learns at.
        """
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in network.named_parameters():
            groups.setdefault(lr_scale(name), []).append(parameter)
        optimizer = torch.optim.AdamW(
            [{"params": parameters, "lr_scale": scale} for scale, parameters in groups.items()],
            lr=lr,
            weight_decay=weight_decay,
            fused=True,
        )
        ema = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        return cls(network, optimizer, ema)

    @torch.no_grad()
    def update_ema(self, decay: float) -> None:
        """EMA <- d EMA + (1 - d) weights with d = min(decay, (1 + steps) / (10 + steps)), quick to leave the start."""
        ramped = min(decay, (1 + self.steps) / (10 + self.steps))
        weights = [parameter.detach() for parameter in self.network.parameters()]
        torch._foreach_lerp_(list(self.ema.values()), weights, 1 - ramped)

    def save(self, folder: Path) -> None:
        """Add a checkpoint and drop all but the newest few."""
        folder.mkdir(parents=True, exist_ok=True)
        numbers = {name: getattr(self, name) for name in ("samples", "steps", "pending", "metrics_bytes")}
        path = folder / f"{self.samples:012d}.safetensors"
        half_written = path.with_suffix(".half")
        save_file(self._tensors(), half_written, metadata={"state": json.dumps(numbers, sort_keys=True)})
        with half_written.open("rb") as written:
            os.fsync(written.fileno())
        half_written.replace(path)
        for old in checkpoints(folder)[:-KEPT_CHECKPOINTS]:
            old.unlink()

    def load(self, path: Path) -> None:
        """Take over a checkpoint of the same network. Raises SafetensorError when the file is damaged."""
        with safe_open(path, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a dict)
            numbers = json.loads(stored.metadata()["state"])
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(tensors[f"network.{name}"])
                self.ema[name].copy_(tensors[f"ema.{name}"])
                moments = [moment for moment in MOMENTS if f"{moment}.{name}" in tensors]  # none before a gradient
                self.optimizer.state[parameter] = {moment: tensors[f"{moment}.{name}"] for moment in moments}
        self.samples, self.steps, self.metrics_bytes = numbers["samples"], numbers["steps"], numbers["metrics_bytes"]
        self.pending = [(loss, norm) for loss, norm in numbers["pending"]]

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {f"ema.{name}": value for name, value in self.ema.items()}
        for name, parameter in self.network.named_parameters():
            tensors[f"network.{name}"] = parameter.detach()
            moments = self.optimizer.state[parameter]  # none before the first gradient
            tensors.update({f"{moment}.{name}": value for moment, value in moments.items()})
        return tensors


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint files of a state folder, oldest first."""
    return sorted(folder.glob("*.safetensors"))


def resume(state: TrainingState, folder: Path) -> bool:
    """Continue from the newest whole checkpoint, if there is one; remove what an interrupted save left behind."""
    for leftover in folder.glob("*.half"):
        leftover.unlink()
    for path in reversed(checkpoints(folder)):
        try:
            state.load(path)
        except SafetensorError:
            path.unlink()
        else:
            return True
    return False
