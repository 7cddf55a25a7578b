"""A whole training: encoders, then one phase after another, each starting from the average of the one before.

    RUN/recipe.json              the resolved recipe
    RUN/clips/NAME/              rendered clips
    RUN/encoders/                the frozen networks: `vae/`, and what svd_core.encoders.conditioners describes
    RUN/records/NAME-HxWxT-…/    encoded clips, shared by phases that ask for the same
    RUN/NN-PHASE/                config.json, metrics.jsonl, ema.safetensors, state/, unet/ (diffusers), LoRA weights

Everything is made once: the same command continues where the last one stopped.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from svd_core.data.encoding import encode_records, read_subset_ids
from svd_core.data.records import ReadAhead, Records, write_records
from svd_core.data.rendered import render_clips
from svd_core.data.windows import read_clip_table, read_windows
from svd_core.diffusion import DiscreteSchedule
from svd_core.encoders.conditioners import Conditioners, make_conditioners
from svd_core.models.adaptation import MaskedFrames, add_lora, lora_weights, train_only_time_embedding
from svd_core.models.inflation import is_new
from svd_core.models.video_autoencoder import VideoAutoencoder, train_video_autoencoder
from svd_core.progress import Progress, silent
from svd_core.tasks.batches import batch_of
from svd_core.tasks.networks import next_network, plain
from svd_core.tasks.settings import Phase, TrainingRecipe
from svd_core.training.execution import Execution
from svd_core.training.loop import train
from svd_core.training.objectives import objective_of
from svd_core.training.state import TrainingState

LORA_FILE = "pytorch_lora_weights.safetensors"
"""Where diffusers looks for low-rank weights."""

Tell = Callable[[str], Progress]
"""Names the work that begins and answers with its listener."""


def run_training(recipe: TrainingRecipe, out: Path, execution: Execution, tell: Tell = lambda name: silent) -> None:
    """Run or continue a training under `out`. Every process calls this; the first one prepares, all of them train."""
    if execution.rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        _same_recipe(recipe, out / "recipe.json")
        _prepare(recipe, out, tell)
    execution.wait()
    for number, phase in enumerate(recipe.phases):
        folder = out / phase_folder(number, phase)
        if not (folder / "unet" / "config.json").is_file():
            folder.mkdir(exist_ok=True)
            _run_phase(recipe, number, out, execution, tell(phase.name))
        execution.wait()


def _same_recipe(recipe: TrainingRecipe, path: Path) -> None:
    """Keep the recipe; refuse to continue a run with another one. Further phases may be added at its end."""
    if path.is_file():
        before = TrainingRecipe.model_validate_json(path.read_text())
        for name in ("start", "network", "norm_groups", "time_id_dim", "autoencoder", "conditioners", "data"):
            if getattr(before, name) != getattr(recipe, name):
                raise ValueError(f"{path}: this run began with another `{name}`; name a new folder, or put it back")
        if recipe.phases[: len(before.phases)] != before.phases:
            raise ValueError(f"{path}: this run began with other phases; name a new folder, or put them back")
    path.write_text(recipe.model_dump_json(indent=1) + "\n")


def phase_folder(number: int, phase: Phase) -> str:
    """The name of a phase's folder."""
    return f"{number:02d}-{phase.name}"


def _prepare(recipe: TrainingRecipe, out: Path, tell: Tell) -> None:
    """Clips, autoencoder, conditioners and records, each made whole or not at all."""
    for name, clips in recipe.data.items():
        if clips.render:
            _once(out / "clips" / name, partial(render_clips, clips))
    _once(out / "encoders", partial(_encoders, recipe, out, tell))
    for phase in recipe.phases:
        make = partial(_records, recipe, phase, out, tell)
        _once(records_folder(recipe, phase, out), make)


def _records(recipe: TrainingRecipe, phase: Phase, out: Path, tell: Tell, half: Path) -> None:
    """Encode the clips of a phase."""
    encoders = VideoAutoencoder.load(out / "encoders"), Conditioners.load(out / "encoders")
    progress = tell(f"encode {phase.data} for {phase.name}")
    write_records(half, encode_records(phase, clips_of(recipe, phase.data, out), *encoders, progress=progress))


def _once(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder beside its place and rename it whole, unless it is there."""
    if folder.is_dir():
        return
    half = folder.with_name(f"{folder.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    make(half)
    half.rename(folder)


def _encoders(recipe: TrainingRecipe, out: Path, tell: Tell, half: Path) -> None:
    """The released autoencoder that the recipe names, or a small one trained on the first phase's clips; the rest."""
    settings = recipe.autoencoder
    make_conditioners(recipe.conditioners, half)
    if settings.folder is not None:
        VideoAutoencoder.load(settings.folder).model.save_pretrained(half / "vae")
        return
    clips = clips_of(recipe, recipe.phases[0].data, out)
    windows = torch.cat(list(read_windows(clips, read_clip_table(clips), batch_size=64)))
    train_video_autoencoder(settings, windows, half / "vae", progress=tell("autoencoder"))


def clips_of(recipe: TrainingRecipe, name: str, out: Path) -> Path:
    """Where the clips of a data entry lie."""
    folder = recipe.data[name].folder
    return out / "clips" / name if folder is None else Path(folder)


def records_folder(recipe: TrainingRecipe, phase: Phase, out: Path) -> Path:
    """Where a phase's records lie: one folder for all phases that encode the same."""
    identity: list[float] = [phase.task in ("image_to_video", "multi_view"), phase.task == "images", phase.seed]
    identity += [phase.strength_mean, phase.strength_std, phase.strength_draws]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]
    height, width = phase.resolution
    return out / "records" / f"{phase.data}-{height}x{width}x{phase.frames}-{digest}"


def _run_phase(recipe: TrainingRecipe, number: int, out: Path, execution: Execution, progress: Progress) -> None:
    from svd_core.training.watching import watching  # samples, and so needs what this module has

    phase = recipe.phases[number]
    folder = out / phase_folder(number, phase)
    network, inflated = _network(recipe, number, out)
    network.to(execution.device)
    records = Records(records_folder(recipe, phase, out), read_subset_ids(recipe.data[phase.data].subset))
    look = watching(recipe.watch, phase, records, recipe.generation, out / "encoders", network, folder, execution)
    state = TrainingState.start(
        network,
        lr=phase.lr,
        weight_decay=phase.weight_decay,
        lr_scale=lambda name: phase.new_layers_lr_scale if inflated and is_new(name) else 1.0,
        execution=execution,
    )
    schedule = schedule_of(phase)
    batches = ReadAhead(
        lambda samples: batch_of(phase, records, samples, schedule).to(execution.device), phase.batch_size
    )
    objective = objective_of(phase.objective, schedule, video=phase.task != "images")
    try:
        train(phase, state, objective, batches, folder, execution=execution, progress=progress, watch=look)
    finally:
        batches.close()
    if execution.rank == 0:
        _write_config(recipe, number, records, folder)
        _save_average(_network(recipe, number, out)[0], folder)


def _network(recipe: TrainingRecipe, number: int, out: Path) -> tuple[nn.Module, bool]:
    """The network of a phase before its first step, frozen where it is not trained; whether it was inflated."""
    phase = recipe.phases[number]
    torch.manual_seed(phase.seed)
    network, inflated = next_network(recipe, number, out)
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


def _write_config(recipe: TrainingRecipe, number: int, records: Records, folder: Path) -> None:
    """What sampling needs beside the networks."""
    phase = recipe.phases[number]
    config = {
        "task": phase.task,
        "phase": phase.model_dump(mode="json"),
        "generation": recipe.generation.model_dump(mode="json"),
        "latent_shape": list(records[0].latents[: phase.frames].shape),
        "clips": len(records),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


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
