"""One phase: a network is fitted to its task, trained on records, and left in diffusers' format.

OUT/config.json        what sampling needs beside the networks
OUT/metrics.jsonl      see svd_core.training.loop
OUT/ema.safetensors
OUT/state/
OUT/unet/              the network with its average weights; for low-rank weights the network that they belong to
OUT/pytorch_lora_weights.safetensors   of phases that train low-rank weights
"""

import json
import shutil
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from svd_core.data.records import ReadAhead, Records
from svd_core.diffusion import DiscreteSchedule
from svd_core.files import write_whole
from svd_core.models.adaptation import WRAPPED, MaskedFrames, add_lora, lora_weights, train_only_time_embedding
from svd_core.models.inflation import is_new
from svd_core.progress import Progress, silent
from svd_core.tasks.batches import batch_of
from svd_core.tasks.networks import LORA_FILE, next_network, plain
from svd_core.tasks.settings import Bases, GenerationSettings, Phase
from svd_core.training.batches import Batch
from svd_core.training.execution import DTYPES, Execution
from svd_core.training.loop import train
from svd_core.training.objectives import objective_of
from svd_core.training.settings import WatchSettings
from svd_core.training.state import TrainingState


def train_phase(
    phase: Phase,
    bases: Bases,
    encoders: Path,
    records: Path,
    before: Path | None,
    out: Path,
    *,
    clip_ids: Iterable[str] | None = None,
    generation: GenerationSettings | None = None,
    watch: WatchSettings | None = None,
    execution: Execution | None = None,
    progress: Progress = silent,
) -> None:
    """Run or continue a phase under `out`. Every process calls this.

    before: the folder of the phase before, if there is one. clip_ids: the clips to read, by default all. generation:
    how `ablate sample` samples the result unless told otherwise. watch: what to record beside what is made.
    """
    from svd_core.training.watching import watching  # samples, and so needs what this module has

    execution, generation = execution or Execution(), generation or GenerationSettings()
    if phase.precision is not None:
        execution = replace(execution, precision=DTYPES[phase.precision])
    out.mkdir(exist_ok=True)
    network, inflated = _network(phase, bases, encoders, before)
    network.to(execution.device)
    chosen, schedule = Records(records, clip_ids), schedule_of(phase)
    seen = (phase, chosen, generation, encoders, network, out, execution)
    look = None if watch is None else watching(watch, *seen)
    state = TrainingState.start(
        network,
        lr=phase.lr,
        weight_decay=phase.weight_decay,
        lr_scale=lambda name: phase.new_layers_lr_scale if inflated and is_new(name.removeprefix(WRAPPED)) else 1.0,
        execution=execution,
    )
    objective = objective_of(phase.objective, schedule, video=phase.task != "images")

    def batch_at(samples: range) -> Batch:
        return batch_of(phase, chosen, samples, schedule).to(execution.device)

    with closing(ReadAhead(batch_at, phase.batch_size, phase.samples)) as batches:
        train(phase, state, objective, batches, out, execution=execution, progress=progress, watch=look)
    with execution.together():
        if execution.rank == 0:
            _write_config(phase, generation, chosen, out)
            _save_average(_network(phase, bases, encoders, before)[0], out)


def _network(phase: Phase, bases: Bases, encoders: Path, before: Path | None) -> tuple[nn.Module, bool]:
    """The network of a phase before its first step, frozen where it is not trained; whether it was inflated."""
    torch.manual_seed(phase.seed)
    network, inflated = next_network(phase, bases, encoders, before)
    if phase.trained == "time_embedding":
        train_only_time_embedding(network)
    if phase.trained == "lora":
        add_lora(network, phase.lora_rank)
    return network, inflated


def schedule_of(phase: Phase) -> DiscreteSchedule | None:
    """The discrete schedule of a phase; None where noise levels are continuous."""
    if phase.objective == "continuous":
        return None
    schedule = DiscreteSchedule.stable_diffusion()
    if phase.schedule_shift_from is not None:
        schedule = schedule.shifted(phase.schedule_shift_from, min(phase.resolution))
    return schedule.zero_terminal_snr() if phase.zero_terminal_snr else schedule


def _write_config(phase: Phase, generation: GenerationSettings, records: Records, folder: Path) -> None:
    """What sampling needs beside the networks."""
    config = {
        "task": phase.task,
        "phase": phase.model_dump(mode="json"),
        "generation": generation.model_dump(mode="json"),
        "latent_shape": list(records[0].latents[: phase.frames].shape),
        "clips": len(records),
    }
    write_whole(folder / "config.json", _as_text(config))


def write_generation(folder: Path, generation: GenerationSettings) -> None:
    """Have a finished phase sampled otherwise from now on."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), "generation": generation.model_dump(mode="json")}
    write_whole(path, _as_text(config))


def _as_text(config: dict[str, Any]) -> str:
    return json.dumps(config, indent=1, sort_keys=True) + "\n"


def _save_average(network: nn.Module, folder: Path) -> None:
    """Put the average of the phase's weights into its network and save it; last, since it says that all is done."""
    average = load_file(folder / "ema.safetensors")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name in average:
                parameter.copy_(average[name])
    if lora := any("lora_" in name for name in average):
        save_file(lora_weights(network), folder / LORA_FILE)
    unet: Any = network.folded() if isinstance(network, MaskedFrames) else network
    half = folder / "unet.half"
    shutil.rmtree(half, ignore_errors=True)
    (plain(unet) if lora else unet).save_pretrained(half)
    half.rename(folder / "unet")
