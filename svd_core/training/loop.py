"""The training loop."""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from svd_core.data.latents import EncodedClips
from svd_core.diffusion.preconditioning import Network, loss
from svd_core.progress import Progress, silent
from svd_core.settings import TrainingSettings
from svd_core.training import interruption
from svd_core.training.batches import Batch, Stage, draw_batch
from svd_core.training.state import TrainingState, checkpoints, resume

STEPS_PER_LINE = 25
CHECKPOINT_EVERY_S = 20.0

Condition = Callable[[Batch], Network]
"""Binds a batch's conditions to the network under training."""


class NonFiniteLoss(RuntimeError):
    """Training diverged, or a batch held values that are not finite."""


def train(
    settings: TrainingSettings,
    stage: Stage,
    state: TrainingState,
    condition: Condition,
    clips: EncodedClips,
    out: Path,
    *,
    progress: Progress = silent,
    checkpoint_every_s: float | None = None,
) -> None:
    """Train until `settings.samples` samples were seen, from the newest checkpoint under `out/state` if there is one.

    Writes `metrics.jsonl` (loss and gradient norm, means over 25 steps), checkpoints in `state/` every
    `checkpoint_every_s` seconds (by default 20), and at the end `ema.safetensors` and the last checkpoint. Neither
    interruptions nor the interval change any of these. Raises NonFiniteLoss naming the batch's clips; the last
    checkpoint stays. Raises Interrupted, with a checkpoint of this very step, when it is asked to stop.
    """
    interval = CHECKPOINT_EVERY_S if checkpoint_every_s is None else checkpoint_every_s
    resume(state, out / "state")
    _truncate(out / "metrics.jsonl", state.metrics_bytes)
    saved = time.monotonic()
    while state.samples < settings.samples:
        if interruption.requested():
            state.save(out / "state")
            raise interruption.Interrupted(f"asked to stop after {state.samples} of {settings.samples} samples")
        batch = draw_batch(settings, stage, clips, state.samples)
        state.pending.append(_step(settings, state, condition, batch))
        state.update_ema(settings.ema)
        if len(state.pending) == STEPS_PER_LINE:
            figures = _write_line(state, out / "metrics.jsonl")
            progress(state.samples, settings.samples, **figures)
        if time.monotonic() - saved >= interval:
            state.save(out / "state")
            saved = time.monotonic()
    state.save(out / "state")
    for old in checkpoints(out / "state")[:-1]:
        old.unlink()
    save_file(state.ema, out / "ema.safetensors")


def _step(settings: TrainingSettings, state: TrainingState, condition: Condition, batch: Batch) -> tuple[float, float]:
    """One optimiser step; returns the batch's loss and the gradient norm before clipping."""
    mean_loss = loss(condition(batch), batch.clean, batch.noise, batch.sigma).mean()
    if not math.isfinite(value := mean_loss.item()):
        raise NonFiniteLoss(f"loss is {value} after {state.samples} samples; clips of this batch: {batch.clip_ids}")
    state.optimizer.zero_grad(set_to_none=True)
    mean_loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), settings.clip_grad_norm)
    # Warm-up, then constant: a rate that knows no horizon keeps N steps a prefix of M.
    state.samples += len(batch.clip_ids)
    state.steps += 1
    for group in state.optimizer.param_groups:
        group["lr"] = settings.lr * group["lr_scale"] * min(1.0, state.samples / max(1, settings.warmup_samples))
    state.optimizer.step()
    return value, norm.item()


def _write_line(state: TrainingState, path: Path) -> dict[str, float]:
    losses, norms = zip(*state.pending, strict=True)
    figures = {"loss": sum(losses) / len(losses), "grad_norm": sum(norms) / len(norms)}
    with path.open("a") as lines:
        lines.write(json.dumps({"samples": state.samples, **figures}) + "\n")
        lines.flush()
        state.metrics_bytes = lines.tell()
    state.pending.clear()
    return figures


def _truncate(path: Path, length: int) -> None:
    """Drop what was written after the checkpoint that training continues from."""
    path.touch()
    os.truncate(path, length)
