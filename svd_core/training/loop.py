"""The training loop."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save_file

from svd_core.progress import Progress, silent
from svd_core.training import interruption
from svd_core.training.behind import Behind
from svd_core.training.execution import BatchAt, Execution, Objective, whole
from svd_core.training.state import LOG_SIGMA_EDGES, TrainingState, checkpoints, gathered, resume

STEPS_PER_LINE = 25
CHECKPOINT_EVERY_S = 20.0
CHECKPOINT_SHARE = 0.02
"""Of the time, at most, goes into checkpoints: large ones come less often."""


class NonFiniteLoss(RuntimeError):
    """Training diverged, or a batch held values that are not finite: nothing was learnt from it."""


class LoopSettings(Protocol):
    """What the loop needs to know; see TrainingSettings."""

    @property
    def samples(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def warmup_samples(self) -> int: ...
    @property
    def ema(self) -> float: ...
    @property
    def clip_grad_norm(self) -> float: ...


class Watch(Protocol):
    """Looks on, in every process, and changes nothing."""

    def begin(self, state: TrainingState) -> None:
        """The first step from here, or the first after an interruption, is next."""

    def line(self, state: TrainingState) -> Mapping[str, float]:
        """A line of metrics was written; returns further figures for whoever listens to the progress."""


def train(
    settings: LoopSettings,
    state: TrainingState,
    objective: Objective,
    batch_at: BatchAt,
    out: Path,
    *,
    execution: Execution | None = None,
    progress: Progress = silent,
    watch: Watch | None = None,
    checkpoint_every_s: float | None = None,
) -> None:
    """Train until `settings.samples` samples were seen, from the newest checkpoint under `out/state` if there is one.

    Writes `metrics.jsonl` (loss, gradient norm and loss by noise level, means over 25 steps), checkpoints in `state/`
    every `checkpoint_every_s` seconds (by default 20, or more where one takes long; 0 is after every step), and at the
    end `ema.safetensors` and the last checkpoint.
    Neither interruptions nor the interval change any of these, and a run may continue on another number of processes.
    Raises NonFiniteLoss naming the batch's clips, for a loss or gradient that is not finite; the last checkpoint stays.
    Raises Interrupted, with a checkpoint of this very step, when any process is asked to stop.
    """
    execution = execution or Execution()
    interval = CHECKPOINT_EVERY_S if checkpoint_every_s is None else checkpoint_every_s
    resume(state, out / "state")
    with execution.together():
        if execution.rank == 0:
            _truncate(out / "metrics.jsonl", state.metrics_bytes)
    if watch is not None:
        watch.begin(state)
    due_at = time.monotonic() + interval
    with execution.in_step(), Behind() as averaging, Behind() as placing:
        while state.samples < settings.samples and not interruption.requested():
            want = time.monotonic() >= due_at
            due = _step(settings, state, objective, batch_at, execution, due=want, before_change=averaging.wait)
            averaging.start(partial(state.update_ema, settings.ema))
            if len(state.pending) == STEPS_PER_LINE:
                averaging.wait()
                figures = _write_line(state, out / "metrics.jsonl", execution)
                more = {} if watch is None else watch.line(state)
                progress(state.samples, settings.samples, **figures, **more)
            if due:
                averaging.wait()
                started = time.monotonic()
                state.save(out / "state", execution, later=placing.start)
                saved = time.monotonic()
                due_at = saved + (interval and max(interval, (saved - started) / CHECKPOINT_SHARE))
        averaging.wait()
        with execution.together():
            placing.wait()
    state.save(out / "state", execution)
    if state.samples < settings.samples:
        raise interruption.Interrupted(f"asked to stop after {state.samples} of {settings.samples} samples")
    ema = gathered(state.ema.items(), keep=execution.rank == 0)
    with execution.together():
        if execution.rank == 0:
            for old in checkpoints(out / "state")[:-1]:
                old.unlink()
            save_file(ema, out / "ema.safetensors")


def _step(
    settings: LoopSettings,
    state: TrainingState,
    objective: Objective,
    batch_at: BatchAt,
    execution: Execution,
    *,
    due: bool,
    before_change: Callable[[], None],
) -> bool:
    """One optimiser step. `due`: the first process wants a checkpoint, which the answer tells to all."""
    samples = range(state.samples, state.samples + settings.batch_size)
    state.optimizer.zero_grad(set_to_none=True)
    seen = execution.backward(state.called, objective, batch_at, samples)
    losses, sigma = (torch.cat(parts) for parts in zip(*((loss, batch.sigma) for batch, loss in seen), strict=True))
    asks = losses.new_tensor(float(due and execution.rank == 0), dtype=torch.float64)
    facts = torch.stack([losses.mean().double() / execution.world, asks])
    facts = execution.summed(torch.cat([facts, _by_sigma(losses, sigma).flatten()]))
    mean_loss = facts[0].item()
    norm = clip_gradients([*state.network.parameters()], settings.clip_grad_norm)
    if not (math.isfinite(mean_loss) and math.isfinite(norm)):
        named = [clip_id for batch, _ in seen for clip_id in batch.clip_ids]
        here = execution.world == 1 or not losses.isfinite().all()
        whose = "clips of this batch" if here else "another process may have the cause; clips here"
        what = f"loss is {mean_loss}, the gradient's norm {norm}"
        raise NonFiniteLoss(f"{what} after {state.samples} samples; {whose}: {named}")
    before_change()
    # Warm-up, then constant: a rate that knows no horizon keeps N steps a prefix of M.
    state.samples += settings.batch_size
    state.steps += 1
    for group in state.optimizer.param_groups:
        group["lr"] = settings.lr * group["lr_scale"] * min(1.0, state.samples / max(1, settings.warmup_samples))
    state.optimizer.step()
    state.pending.append((mean_loss, norm))
    state.by_sigma = [before + now for before, now in zip(state.by_sigma, facts[2:].tolist(), strict=True)]
    return bool(facts[1] > 0)


def clip_gradients(parameters: list[torch.nn.Parameter], longest: float) -> float:
    """Scale all gradients to a common norm of at most `longest`; the norm before.

    No pass over those that are short enough, or not finite.
    """
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    length = whole(norm).item()
    if 0.99 * longest <= length < math.inf:  # below that torch would multiply by 1
        torch.nn.utils.clip_grads_with_norm_(parameters, longest, norm)
    return length


def _by_sigma(losses: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Sums and counts of losses (B,) by bin of ln sigma, (2, bins) float64."""
    bins = torch.bucketize(sigma.log(), torch.tensor(LOG_SIGMA_EDGES, device=sigma.device))
    values = torch.stack([losses.double(), torch.ones_like(losses, dtype=torch.float64)])
    return values.new_zeros(2, len(LOG_SIGMA_EDGES) + 1).index_add_(1, bins, values)


def _write_line(state: TrainingState, path: Path, execution: Execution) -> dict[str, float]:
    losses, norms = zip(*state.pending, strict=True)
    figures = {"loss": sum(losses) / len(losses), "grad_norm": sum(norms) / len(norms)}
    with execution.together():
        if execution.rank == 0:
            line = {"samples": state.samples, **figures, "loss_by_sigma": dict(_means(state.by_sigma))}
            state.metrics_bytes = _append(path, json.dumps(line) + "\n")
    state.pending.clear()
    state.by_sigma = [0.0] * len(state.by_sigma)
    return figures


def _append(path: Path, line: str) -> int:
    """Add a line for good, as a checkpoint counts on what stands there; the length of the file."""
    with path.open("a") as lines:
        lines.write(line)
        lines.flush()
        os.fsync(lines.fileno())
        return lines.tell()


def _means(sums_and_counts: list[float]) -> Iterator[tuple[str, float | None]]:
    """Mean loss by bin of ln sigma, such as "-1..0"; null where no sample fell."""
    half = len(sums_and_counts) // 2
    edges = ["", *(f"{edge:g}" for edge in LOG_SIGMA_EDGES), ""]
    for number, (total, count) in enumerate(zip(sums_and_counts[:half], sums_and_counts[half:], strict=True)):
        yield f"{edges[number]}..{edges[number + 1]}", total / count if count else None


def _truncate(path: Path, length: int) -> None:
    """Drop what was written after the checkpoint that training continues from."""
    path.touch()
    if (there := path.stat().st_size) < length:
        raise ValueError(f"{path} has {there} bytes, and the checkpoint knows of {length}: its end was lost or removed")
    os.truncate(path, length)
