"""Trainings that are run again: what was made of a recipe stays bound to it, and everything else may change."""

import fcntl
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from tiny_recipes import PHASES, copied, tiny_recipe

from svd_core.models.checkpoints import CheckpointError
from svd_core.models.inflation import NotInflatable
from svd_core.progress import Progress, silent
from svd_core.tasks.networks import LORA_FILE
from svd_core.tasks.settings import TrainingRecipe
from svd_core.training import phases
from svd_core.training.execution import Execution
from svd_core.training.phases import run_training


def test_a_run_is_never_continued_with_another_recipe(trained: Path, tmp_path: Path) -> None:
    shutil.copyfile(trained / "recipe.json", tmp_path / "recipe.json")
    for lines in trained.glob("[0-9][0-9]-*/metrics.jsonl"):
        (tmp_path / lines.parent.name).mkdir()
        shutil.copy(lines, tmp_path / lines.parent.name)
    for changes, asked, message in (
        ({"time_id_dim": 16}, PHASES, "began with other `time_id_dim`"),
        (
            {},
            (PHASES[0], {**PHASES[1], "lr": 1e-2}, *PHASES[2:]),
            r"'videos' \(lr 0\.001\); .*/01-videos",
        ),
        ({}, PHASES[:2], "began with another phase 'image_to_video'"),
    ):
        with pytest.raises(ValueError, match=message):
            run_training(tiny_recipe(*asked, **changes), tmp_path, Execution())


def test_what_a_run_began_with_must_be_readable(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(ValueError, match=r"recipe\.json is damaged, or of another version"):
        run_training(tiny_recipe(*PHASES), tmp_path, Execution())


def test_a_second_command_waits_for_the_first(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(trained, tmp_path, "clips", "encoders", "records", "00-images", "01-videos")
    monkeypatch.setattr(phases, "LOOK_EVERY_S", 0.0)
    told = []
    with (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def tell(name: str) -> Progress:
            told.append(sorted(path.name for path in tmp_path.glob("recipe.json")))
            if "another command trains this run" in name:
                fcntl.flock(other, fcntl.LOCK_UN)
            return silent

        run_training(tiny_recipe(*PHASES[:2]), tmp_path, Execution(), tell)
    assert told[0] == []
    assert (tmp_path / "recipe.json").is_file()


def test_clips_that_change_in_mid_training_are_refused(trained: Path, tmp_path: Path) -> None:
    copied(trained, tmp_path, "clips", "encoders", "records", "00-images")
    table = tmp_path / "clips" / "zooms" / "clips.parquet"
    clips = pl.read_parquet(table)
    pl.concat([clips[1:], clips[:1]]).write_parquet(table)
    with pytest.raises(ValueError, match=r"data zooms: .*zooms, or what its subset chose, has changed since"):
        run_training(tiny_recipe(*PHASES[:2]), tmp_path, Execution())


def test_a_start_that_is_not_there_is_said_first_and_can_be_mended(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'none/none' is neither a folder nor in the hub cache"):
        run_training(tiny_recipe(PHASES[1], start="none/none"), tmp_path, Execution())
    assert not list(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=r"cross_attention_dim is 32, .* encoders need 64"):
        wider = {"conditioners": {"dim": 64}, "autoencoder": {"block_out_channels": [32, 32], "steps": 1}}
        run_training(tiny_recipe(PHASES[1], start=str(trained / "00-images"), **wider), tmp_path, Execution())
    run_training(tiny_recipe(PHASES[1], **wider), tmp_path, Execution())


def test_what_has_not_begun_is_mended_and_what_was_rendered_is_bound(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "clips", tmp_path / "clips")
    with pytest.raises(NotInflatable, match="in_channels=4 is fewer than the network's 8"):
        run_training(tiny_recipe(PHASES[1], start=str(trained / "02-image_to_video")), tmp_path, Execution())
    zooms = {"render": "camera_moves", "move": "zoom", "count": 6, "frames": 4, "resolution": 16}
    with pytest.raises(ValueError, match=r"began with other `data\.zooms`"):
        run_training(tiny_recipe(PHASES[1], data={"zooms": zooms}), tmp_path, Execution())
    shutil.rmtree(tmp_path / "encoders")
    with pytest.raises(ValueError, match=r"began with other `data\.zooms`"):
        run_training(tiny_recipe(PHASES[1], data={"zooms": zooms}), tmp_path, Execution())
    run_training(tiny_recipe(PHASES[1]), tmp_path, Execution())
    assert {path.suffix for path in (tmp_path / "records").iterdir()} == {""}


def test_clips_of_a_finished_run_may_change(trained: Path, tmp_path: Path) -> None:
    copied(trained, tmp_path, "clips", "encoders", "records", "00-images", "01-videos")
    table = tmp_path / "clips" / "zooms" / "clips.parquet"
    pl.read_parquet(table)[1:].write_parquet(table)
    run_training(tiny_recipe(*PHASES[:2]), tmp_path, Execution())


def test_a_finished_run_is_sampled_otherwise_when_told_so(trained: Path, tmp_path: Path) -> None:
    copied(trained, tmp_path, "clips", "encoders", "records", "00-images", "01-videos")
    run_training(tiny_recipe(*PHASES[:2], generation={"steps": 7}), tmp_path, Execution())
    before, after = (json.loads((run / "01-videos" / "config.json").read_text()) for run in (trained, tmp_path))
    assert after == {**before, "generation": {**before["generation"], "steps": 7}}


def test_a_phase_that_has_not_begun_may_change(trained: Path, tmp_path: Path) -> None:
    copied(trained, tmp_path, "clips", "encoders", "records", "00-images", "01-videos")
    shutil.copyfile(trained / "recipe.json", tmp_path / "recipe.json")
    run_training(tiny_recipe(*PHASES[:2], {**PHASES[2], "lr": 1e-5}), tmp_path, Execution())
    assert TrainingRecipe.model_validate_json((tmp_path / "recipe.json").read_text()).chain[2].lr == 1e-5
    with pytest.raises(ValueError, match="began with another phase 'image_to_video'"):
        run_training(tiny_recipe(*PHASES[:3]), tmp_path, Execution())


def test_data_and_phases_may_be_added_to_a_run(trained: Path, tmp_path: Path) -> None:
    copied(trained, tmp_path, "clips", "encoders", "records", "00-images", "01-videos", "02-image_to_video")
    shutil.copyfile(trained / "recipe.json", tmp_path / "recipe.json")
    before = TrainingRecipe.model_validate_json((tmp_path / "recipe.json").read_text())
    shorter = before.model_copy(update={"phases": {n: p for n, p in before.phases.items() if n != "lora"}})
    (tmp_path / "recipe.json").write_text(shorter.model_dump_json())
    zooms = {"render": "camera_moves", "move": "zoom", "count": 5, "frames": 4, "resolution": 16}
    data = {"zooms": zooms, "still": {**zooms, "move": "static"}}
    run_training(tiny_recipe(*PHASES[:3], {**PHASES[3], "data": "still"}, data=data), tmp_path, Execution())
    assert (tmp_path / "03-lora" / LORA_FILE).is_file()
    with pytest.raises(ValueError, match=r"began with other `data\.zooms`"):
        run_training(tiny_recipe(*PHASES, data={"zooms": {**zooms, "count": 6}}), tmp_path, Execution())
