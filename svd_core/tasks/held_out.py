"""Any task: sample a trained run for held-out clips, giving it what the task is given of each."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import save_file

from svd_core.data.windows import read_clip_table, read_windows, to_unit_range
from svd_core.device import repeatable_device
from svd_core.progress import Progress, silent
from svd_core.tasks.generation import Request, Run, generate
from svd_core.tasks.settings import GenerationSettings, Task, TaskSampleSettings, part
from svd_core.training.draws import sample_rng

GIVEN: dict[Task, tuple[int, ...]] = {"image_to_video": (0,), "multi_view": (0,), "frame_interpolation": (0, -1)}
"""Frames of a clip that a task is given."""


def sample_held_out(
    settings: TaskSampleSettings, run: Path, encoders: Path, reference: Path, out: Path, *, progress: Progress = silent
) -> None:
    """Write `videos.safetensors`, uint8 (N, T, 3, H, W), `prompts.json` and `given.json` for the first N clips.

    `given.json` lists the frames that the run was shown. A clip's noise depends on (seed, its number) alone; frame
    rate and elevation are the true clip's, the motion bucket is one constant. Raises ValueError for too few clips.
    """
    loaded = Run.load(run, encoders, repeatable_device())
    generation = part(GenerationSettings, settings)
    table = read_clip_table(reference)
    if len(table) < settings.clips:
        raise ValueError(f"{settings.clips} clips to sample, but {reference / 'clips.parquet'} has {len(table)}")
    frames = loaded.latent_shape[0]
    given = sorted(number % frames for number in GIVEN.get(loaded.task, ()))
    videos = []
    for number in range(settings.clips):
        row = table[number : number + 1]
        seed = int(sample_rng(settings.seed, "sample", number).integers(2**31))
        own = replace(loaded, generation=generation.model_copy(update={"fps": row["fps"][0]}))
        videos.append(generate(own, _request(loaded.task, row, reference, given, seed)))
        progress(number + 1, settings.clips)
    save_file({"videos": torch.stack(videos)}, out / "videos.safetensors")
    prompts = table[: settings.clips].select(pl.col("caption").alias("prompt"), "fps").to_dicts()
    (out / "prompts.json").write_text(json.dumps(prompts, indent=1) + "\n")
    (out / "given.json").write_text(json.dumps(given) + "\n")


def _request(task: Task, row: pl.DataFrame, reference: Path, given: list[int], seed: int) -> Request:
    """What one true clip, a row of the clip table, gives to the run."""
    if not given:
        return Request(prompt=row["caption"][0], seed=seed)
    window = next(read_windows(reference, row, batch_size=1))[0]
    elevation = row["elevation"][0] if task == "multi_view" else None
    return Request(images=to_unit_range(window[given]), elevation=elevation, seed=seed)
