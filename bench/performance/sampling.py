"""Clips a second of image-to-video sampling beside diffusers' pipeline: the same weights, steps, seed and output."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image

from ablations.training import load_recipe
from bench.performance.alternating import against
from bench.performance.goals import goal
from svd_core.data.windows import to_pixels
from svd_core.tasks.export import export
from svd_core.tasks.generation import Request, Run, generate
from svd_core.tasks.settings import TrainingRecipe
from svd_core.training.execution import Execution
from svd_core.training.phases import run_training

STEPS, SIDE = 12, 32

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers, NumPy 2


def barely_trained(out: Path) -> Path:
    """A run of the packaged image-to-video training with as little training as there can be."""
    packaged = load_recipe("image_to_video", [], None).model_dump(mode="json")
    for phase in packaged["phases"].values():
        phase["steps"] = 1
    packaged["autoencoder"]["steps"] = 20
    for clips in packaged["data"].values():
        clips["count"] = 16
    run_training(TrainingRecipe.model_validate(packaged, strict=False), out, Execution())
    return out


def test_a_clip(benchmark: Any, tmp_path: Path) -> None:
    trained = barely_trained(tmp_path / "run")
    export(trained, tmp_path / "exported")
    pipeline = StableVideoDiffusionPipeline.from_pretrained(tmp_path / "exported")
    pipeline.set_progress_bar_config(disable=True)
    run = Run.load(trained)
    settings = replace(run, generation=run.generation.model_copy(update={"steps": STEPS}))
    image = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    picture = Image.fromarray(to_pixels(image)[0].permute(1, 2, 0).numpy())

    def ours() -> torch.Tensor:
        return generate(settings, Request(images=image, seed=5))

    def theirs() -> torch.Tensor:
        found: torch.Tensor = pipeline(
            picture,
            height=SIDE,
            width=SIDE,
            num_frames=run.latent_shape[0],
            num_inference_steps=STEPS,
            min_guidance_scale=run.generation.guidance_min,
            max_guidance_scale=run.generation.guidance_max,
            fps=round(run.generation.fps),
            motion_bucket_id=round(run.generation.motion_bucket),
            noise_aug_strength=run.generation.noise_strength,
            generator=torch.Generator().manual_seed(5),
            output_type="pt",
        ).frames[0]
        return found

    against(benchmark, ours, {"diffusers' pipeline": theirs}, rounds=8)
    goal(benchmark, "times its clips a second", benchmark.extra_info["diffusers' pipeline"]["times_ours"], at_least=1.2)
    difference = (ours().float() / 255 - theirs()).abs().max().item()
    benchmark.extra_info["largest difference of pixels, of 1"] = difference
