"""The training stages: images first, then videos, then finetuning."""

import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch
from diffusers import UNet2DConditionModel

from svd_core.data.latents import EncodedClips, read_encoded
from svd_core.data.records import ReadAhead
from svd_core.models.inflation import inflate, is_new
from svd_core.models.networks import count_parameters, image_unet, load_image_unet, load_video_unet
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.progress import Progress, silent
from svd_core.settings import FinetuneSettings, ImagePretrainingSettings, TrainingSettings, VideoPretrainingSettings
from svd_core.training.batches import Batch, Stage, draw_batch, schedule_of
from svd_core.training.execution import DTYPES, Execution
from svd_core.training.loop import train
from svd_core.training.objectives import objective_of
from svd_core.training.state import TrainingState

TIME_IDS = 2
TIME_ID_DIM = 32
"""Sinusoids per micro-condition: 256 in SVD, whose time embedding is ten times as wide."""


def pretrain_images(
    settings: ImagePretrainingSettings,
    latents: Path,
    out: Path,
    *,
    execution: Execution | None = None,
    progress: Progress = silent,
) -> None:
    """Stage I: train the image UNet on the encoded images. Continues from `out/state` after an interruption.

    Every process calls this, as the other stages. `execution` is by default one process on the CPU, at the settings'
    precision in any case. Writes `ema.safetensors`, `config.json`, `metrics.jsonl` and `state/`.
    """
    clips = read_encoded(latents)
    torch.manual_seed(settings.seed)
    network = image_unet(settings.network, channels=clips.latents.shape[2], text_dim=clips.text.shape[-1])
    _train(settings, "pretrain_images", network, clips, out, execution, progress)


def pretrain_videos(
    settings: VideoPretrainingSettings,
    subset: Path,
    latents: Path,
    images: Path,
    out: Path,
    *,
    previous: Path | None = None,
    execution: Execution | None = None,
    progress: Progress = silent,
) -> None:
    """Stage II: inflate Stage I's EMA network and train all layers on the subset's clips.

    `previous` is the artifact of a shorter training with otherwise equal settings, to be continued: the result is
    the same to the bit as training from the start. Writes what `pretrain_images` writes.
    """
    clips = _clips(subset, latents)
    torch.manual_seed(settings.seed)
    network = inflate(
        load_image_unet(images), time_ids=TIME_IDS, time_id_dim=TIME_ID_DIM, num_frames=clips.latents.shape[1]
    )
    _train(settings, "pretrain_videos", network, clips, out, execution, progress, previous)


def finetune(
    settings: FinetuneSettings,
    subset: Path,
    latents: Path,
    videos: Path,
    out: Path,
    *,
    previous: Path | None = None,
    execution: Execution | None = None,
    progress: Progress = silent,
) -> None:
    """Stage III: train a video training's EMA network further, with a fresh optimiser; its clips may be larger.

    `previous` and what is written are as of `pretrain_videos`.
    """
    network = load_video_unet(videos).train().requires_grad_(True)
    _train(settings, "finetune", network, _clips(subset, latents), out, execution, progress, previous)


def _clips(subset: Path, latents: Path) -> EncodedClips:
    """The latents of the subset's clips."""
    kept = pl.read_parquet(subset / "subset.parquet")["clip_id"].to_list()
    if not kept:
        raise ValueError(f"{subset / 'subset.parquet'}: no clip left to train on; loosen the filter")
    return read_encoded(latents).select(kept)


def _train(
    settings: TrainingSettings,
    stage: Stage,
    network: UNet2DConditionModel | SpatioTemporalUNet,
    clips: EncodedClips,
    out: Path,
    execution: Execution | None,
    progress: Progress,
    previous: Path | None = None,
) -> None:
    execution = replace(execution or Execution(), precision=DTYPES[settings.precision])
    with execution.together():
        if execution.rank == 0:
            if previous is not None and not (out / "state").exists():
                _continue_segment(previous, out)
            _write_config(settings, stage, network, clips, out)
    new_layers = settings.new_layers_lr_scale if isinstance(settings, VideoPretrainingSettings) else 1.0
    state = TrainingState.start(
        network.to(execution.device),
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        lr_scale=lambda name: new_layers if is_new(name) else 1.0,
        execution=execution,
    )
    schedule = schedule_of(settings.objective, settings.log_snr_shift)
    objective = objective_of(settings.objective, schedule, video=stage != "pretrain_images")

    def batch_at(samples: range) -> Batch:
        return draw_batch(settings, stage, clips, samples).to(execution.device)

    with closing(ReadAhead(batch_at, settings.batch_size, settings.samples)) as batches:
        train(settings, state, objective, batches, out, execution=execution, progress=progress)


def _continue_segment(previous: Path, out: Path) -> None:
    """Take over the last state and the metrics; the state comes last, as it is what a restart looks for."""
    shutil.copyfile(previous / "metrics.jsonl", out / "metrics.jsonl")
    shutil.copytree(previous / "state", out / "state.half", dirs_exist_ok=True)
    (out / "state.half").rename(out / "state")


def _write_config(
    settings: TrainingSettings,
    stage: Stage,
    network: UNet2DConditionModel | SpatioTemporalUNet,
    clips: EncodedClips,
    out: Path,
) -> None:
    """What a later stage needs to build the network and feed it."""
    config = {
        "stage": stage,
        "settings": settings.model_dump(mode="json"),
        "network": {key: value for key, value in network.config.items() if not key.startswith("_")},
        "parameters": count_parameters(network),
        "latent_shape": list(clips.latents.shape[1:]),
        "text_shape": list(clips.text.shape[2:]),
        "clips": len(clips),
    }
    (out / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
