"""Every task sampled for held-out clips; interpolation and multi-view exported and sampled again."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_recipes import PHASE, tiny_recipe

from svd_core.data.rendered import render_clips
from svd_core.data.settings import ClipsSettings
from svd_core.tasks.export import export
from svd_core.tasks.generation import Request, Run, WrongRequest, generate
from svd_core.tasks.held_out import sample_held_out
from svd_core.tasks.settings import TaskSampleSettings
from svd_core.training.execution import Execution
from svd_core.training.phases import run_training

ORBITS = {"render": "orbits", "count": 2, "frames": 4, "resolution": 16}
GIVEN = {"text_to_video": [], "image_to_video": [0], "multi_view": [0], "frame_interpolation": [0, 2]}


@pytest.fixture(scope="module")
def runs(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of each task; interpolation and multi-view start from the image-to-video one."""
    folder = tmp_path_factory.mktemp("tasks")
    start = trained / "02-image_to_video"
    between = {**PHASE, "name": "between", "task": "frame_interpolation"}
    around = {**PHASE, "name": "around", "task": "multi_view", "data": "orbits"}
    run_training(tiny_recipe(between, start=str(start)), folder / "frame_interpolation", Execution())
    run_training(tiny_recipe(around, start=str(start), data={"orbits": ORBITS}), folder / "multi_view", Execution())
    ours = {name: folder / name for name in ("frame_interpolation", "multi_view")}
    return {"text_to_video": trained / "01-videos", "image_to_video": start, **ours}


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Held-out clips: objects that nothing was trained on, and a camera's moves."""
    folder = tmp_path_factory.mktemp("references")
    orbits = ClipsSettings(**{**ORBITS, "split": "test", "frames": 3})
    moves = ClipsSettings(render="camera_moves", move="any", count=2, frames=3, resolution=16, seed=1)
    for name, settings in (("orbits", orbits), ("moves", moves)):
        (folder / name).mkdir()
        render_clips(settings, folder / name)
    return {task: folder / ("orbits" if task == "multi_view" else "moves") for task in GIVEN}


def sampled(task: str, runs: dict[str, Path], references: dict[str, Path], out: Path, **changes: int) -> torch.Tensor:
    own = runs[task]
    encoders = (own if (own / "encoders").is_dir() else own.parent) / "encoders"
    out.mkdir()
    settings = TaskSampleSettings(**{"clips": 2, "steps": 2, **changes})
    sample_held_out(settings, own, encoders, references[task], out)
    return load_file(out / "videos.safetensors")["videos"]


@pytest.mark.parametrize("task", GIVEN)
def test_a_clips_noise_is_its_own_and_the_seeds(
    task: str, runs: dict[str, Path], references: dict[str, Path], tmp_path: Path
) -> None:
    both = sampled(task, runs, references, tmp_path / "both")
    one = sampled(task, runs, references, tmp_path / "one", clips=1)
    other = sampled(task, runs, references, tmp_path / "other", clips=1, seed=1)
    assert (both.shape, both.dtype) == ((2, 3, 3, 16, 16), torch.uint8)
    assert torch.equal(both[:1], one)
    assert not torch.equal(one, other)
    assert json.loads((tmp_path / "both" / "given.json").read_text()) == GIVEN[task]
    assert len(json.loads((tmp_path / "both" / "prompts.json").read_text())) == 2


def test_more_clips_than_there_are_cannot_be_sampled(
    runs: dict[str, Path], references: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"3 clips to sample, but .*clips.parquet has 2"):
        sampled("image_to_video", runs, references, tmp_path / "out", clips=3)


@pytest.mark.parametrize("task", ["frame_interpolation", "multi_view"])
def test_what_is_exported_is_sampled_again_and_no_pipeline_of_another_task(
    task: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    images = torch.rand(len(GIVEN[task]), 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    request = Request(images=images, elevation=10.0 if task == "multi_view" else None)
    export(runs[task], tmp_path / "out")
    own, again = Run.load(runs[task]), Run.load(tmp_path / "out")
    assert (own.task, again.task) == (task, task)
    assert (generate(own, request).int() - generate(again, request).int()).abs().max() <= 1
    assert not (tmp_path / "out" / "model_index.json").exists()


def test_what_a_task_needs_is_said(runs: dict[str, Path]) -> None:
    image = torch.zeros(1, 3, 16, 16)
    with pytest.raises(WrongRequest, match="frame_interpolation takes 2 images, got 1"):
        generate(Run.load(runs["frame_interpolation"]), Request(images=image))
    with pytest.raises(WrongRequest, match="multi_view needs the camera's elevation"):
        generate(Run.load(runs["multi_view"]), Request(images=image))
