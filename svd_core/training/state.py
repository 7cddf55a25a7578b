"""Everything that training carries from one step to the next, in one object, and its checkpoints.

A checkpoint is one safetensors file named by the samples seen: `state/000002400.safetensors`. It appears whole or not
at all.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from svd_core.training.execution import Execution, like, local, whole

KEPT_CHECKPOINTS = 2
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
NUMBERS = ("samples", "steps", "pending", "by_sigma", "metrics_bytes")
LOG_SIGMA_EDGES = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Losses are logged apart for each of the six ranges of ln sigma between these."""


Later = Callable[[Callable[[], None]], None]


def at_once(task: Callable[[], None]) -> None:
    """Not later at all."""
    task()


@dataclass
class TrainingState:
    """Network, its moving average, optimiser, and how far training is.

    called: the network as training calls it, wrapped for several processes. Frozen parameters have no average and are
    not saved. pending: (loss, gradient norm) of the steps that no line of metrics.jsonl covers yet, by_sigma: sums and
    then counts of their losses by noise level; metrics_bytes: the length of that file when the state was true.
    """

    network: nn.Module
    called: nn.Module
    optimizer: torch.optim.AdamW
    ema: dict[str, torch.Tensor]
    samples: int = 0
    steps: int = 0
    pending: list[tuple[float, float]] = field(default_factory=list)
    by_sigma: list[float] = field(default_factory=lambda: [0.0] * 2 * (len(LOG_SIGMA_EDGES) + 1))
    metrics_bytes: int = 0
    weights: dict[str, nn.Parameter] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.weights = dict(learnt(self.network))

    @classmethod
    def start(
        cls,
        network: nn.Module,
        *,
        lr: float,
        weight_decay: float,
        lr_scale: Callable[[str], float] = lambda name: 1.0,
        execution: Execution | None = None,
    ) -> "TrainingState":
        """The state before the first step. The moving average starts at the network's own weights.

        `lr_scale` tells from a parameter's name how many times `lr` it learns at.
        """
        called = (execution or Execution()).wrapped(network)
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in learnt(network):
            groups.setdefault(lr_scale(name), []).append(parameter)
        optimizer = torch.optim.AdamW(
            [{"params": parameters, "lr_scale": scale} for scale, parameters in groups.items()],
            lr=lr,
            weight_decay=weight_decay,
            fused=True,
        )
        ema = {name: parameter.detach().clone() for name, parameter in learnt(network)}
        return cls(network, called, optimizer, ema)

    @torch.no_grad()
    def update_ema(self, decay: float) -> None:
        """EMA <- d EMA + (1 - d) weights with d = min(decay, (1 + steps) / (10 + steps)), quick to leave the start."""
        ramped = min(decay, (1 + self.steps) / (10 + self.steps))
        weights = [local(parameter.detach()) for parameter in self.weights.values()]
        torch._foreach_lerp_([local(value) for value in self.ema.values()], weights, 1 - ramped)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within, the network has its average weights; afterwards its own again, to the bit."""
        pairs = [(local(weight.detach()), local(self.ema[name])) for name, weight in self.weights.items()]
        _swap(pairs)
        try:
            yield
        finally:
            _swap(pairs)

    def save(self, folder: Path, execution: Execution | None = None, *, later: Later = at_once) -> None:
        """Add a checkpoint and drop all but the newest few. Its tensors are whole, however many processes wrote it.

        `later` is given the part that waits for the disk, without which the checkpoint does not count.
        """
        execution = execution or Execution()
        tensors = gathered(self._named(), keep=execution.rank == 0)
        with execution.together():
            if execution.rank == 0:
                folder.mkdir(parents=True, exist_ok=True)
                numbers = {name: getattr(self, name) for name in NUMBERS}
                half_written = folder / f"{self.samples:012d}.half"
                save_file(tensors, half_written, metadata={"state": json.dumps(numbers, sort_keys=True)})
                later(partial(_place, half_written))

    def load(self, path: Path) -> None:
        """Take over a checkpoint of the same network. Raises SafetensorError when the file is damaged."""
        with safe_open(path, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a dict)
            numbers = json.loads(stored.metadata()["state"])
        with torch.no_grad():
            for name, parameter in self.weights.items():
                parameter.copy_(like(tensors[f"network.{name}"], parameter))
                self.ema[name].copy_(like(tensors[f"ema.{name}"], parameter))
                moments = {moment: tensors.get(f"{moment}.{name}") for moment in MOMENTS}
                self.optimizer.state[parameter] = {  # none before the first gradient
                    moment: (like(value, parameter) if value.ndim else value).to(parameter.device)
                    for moment, value in moments.items()
                    if value is not None
                }
        for name, value in numbers.items():
            setattr(self, name, value)
        self.pending = [(loss, norm) for loss, norm in self.pending]

    def _named(self) -> Iterator[tuple[str, torch.Tensor]]:
        """All tensors that a checkpoint holds, as this process has them."""
        for name, value in self.ema.items():
            yield f"ema.{name}", value
        for name, parameter in self.weights.items():
            yield f"network.{name}", parameter.detach()
            for moment, value in self.optimizer.state[parameter].items():  # none before the first gradient
                yield f"{moment}.{name}", value


def _place(half_written: Path) -> None:
    """Have a checkpoint on the disk, under its name; drop those that it makes too many."""
    with half_written.open("rb") as written:
        os.fsync(written.fileno())
    path = half_written.replace(half_written.with_suffix(".safetensors"))
    for old in checkpoints(path.parent)[:-KEPT_CHECKPOINTS]:
        old.unlink()


def gathered(named: Iterable[tuple[str, torch.Tensor]], *, keep: bool) -> dict[str, torch.Tensor]:
    """Tensors made whole one after the other by all processes, and moved to the CPU by the one that is to `keep` them.

    No GPU ever holds them all.
    """
    tensors = {}
    for name, value in named:
        full = whole(value)
        if keep:
            tensors[name] = full.cpu()
    return tensors


def _swap(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """One pair after the other, so that it takes no memory to speak of."""
    for one, other in pairs:
        kept = one.clone()
        one.copy_(other)
        other.copy_(kept)


def learnt(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that are trained, by name."""
    return ((name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad)


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint files of a state folder, oldest first."""
    return sorted(folder.glob("*.safetensors"))


def resume(state: TrainingState, folder: Path) -> bool:
    """Continue from the newest whole checkpoint, if there is one; remove what an interrupted save left behind."""
    for leftover in folder.glob("*.half"):
        leftover.unlink(missing_ok=True)  # every process of a training comes by here
    for path in reversed(checkpoints(folder)):
        try:
            state.load(path)
        except (SafetensorError, FileNotFoundError):
            path.unlink(missing_ok=True)
        else:
            return True
    return False
