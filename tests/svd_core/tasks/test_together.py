"""Real processes that encode and train together, over gloo."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch
from ranks import run_ranks
from safetensors.torch import load_file
from tiny_recipes import PHASE, tiny_recipe

from svd_core.tasks.settings import TrainingRecipe
from svd_core.training.execution import Execution
from svd_core.training.phases import run_training

PROGRAM = Path(__file__).with_name("rank_of_a_training.py")
CLIPS = 70  # two shards


def recipe() -> TrainingRecipe:
    data = {"zooms": {"render": "camera_moves", "move": "zoom", "count": CLIPS, "frames": 4, "resolution": 16}}
    return tiny_recipe({**PHASE, "name": "videos", "task": "text_to_video", "steps": 1}, data=data)


def together(out: Path, recipe: TrainingRecipe) -> list[tuple[int, str]]:
    """Exit status and standard error of two processes."""
    out.with_suffix(".json").write_text(recipe.model_dump_json())
    return run_ranks(str(PROGRAM), str(out.with_suffix(".json")), str(out), processes=2)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two") / "run"
    assert [status for status, _ in together(out, recipe())] == [0, 0]
    return out


@pytest.mark.slow
def test_two_processes_share_the_encoding_and_leave_what_one_leaves(two: Path, tmp_path: Path) -> None:
    run_training(recipe(), tmp_path, Execution())
    left = [{p.relative_to(run): p.read_bytes() for p in run.glob("records/**/*.*")} for run in (tmp_path, two)]
    assert left[0] == left[1]
    assert sum(path.suffix == ".tar" for path in left[0]) == 2


@pytest.mark.slow
def test_a_clip_that_one_process_cannot_encode_ends_both(two: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for prepared in ("clips", "encoders"):
        shutil.copytree(two / prepared, run / prepared)
    table = pl.read_parquet(run / "clips/zooms/clips.parquet")
    shard = run / "clips/zooms/shards" / Path(table["shard"][66]).name
    content = bytearray(shard.read_bytes())
    content[table["offset"][66] : table["offset"][66] + 8] = b"no array"
    shard.write_bytes(content)
    (first, said), (second, cause) = together(run, recipe())
    assert first and second
    assert "another process failed; its log says why" in said
    assert "neither an array nor a whole video" in cause
    assert [*run.glob("records/*.half/shards/000000.tar")]  # what the other one wrote is kept


LAST = {
    "interpolation": {**PHASE, "task": "frame_interpolation", "steps": 25, "lr": 1e-4},
    "lora": {**PHASE, "task": "text_to_video", "trained": "lora", "lora_rank": 4, "steps": 25, "lr": 1e-4},
}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
@pytest.mark.parametrize("name", [*LAST])
def test_two_processes_train_as_one_what_is_not_the_whole_network_alone(
    name: str, strategy: str, tmp_path: Path
) -> None:
    """A mask's embedding beside the network, and a few weights of a frozen one, after a phase of images."""
    images = {**PHASE, "name": "images", "task": "images", "frames": 1}
    recipe = tiny_recipe(images, {**LAST[name], "name": name}, execution={"strategy": strategy, "micro_batch": 1})
    run_training(recipe, tmp_path / "one", Execution())
    assert [status for status, _ in together(tmp_path / "two", recipe)] == [0, 0]
    lines = [json.loads((tmp_path / run / f"01-{name}/metrics.jsonl").read_text()) for run in ("one", "two")]
    assert lines[1]["loss"] == pytest.approx(lines[0]["loss"], rel=1e-5)
    assert lines[1]["grad_norm"] == pytest.approx(lines[0]["grad_norm"], rel=1e-4)
    one, two = (load_file(tmp_path / run / f"01-{name}/ema.safetensors") for run in ("one", "two"))
    assert [*one] == [*two]
    assert all(torch.allclose(one[key], two[key], atol=1e-3) for key in one), "Adam makes steps of tiny gradients whole"
