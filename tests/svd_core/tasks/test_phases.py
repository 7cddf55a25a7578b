"""Whole trainings of every task on tiny networks: what each phase starts from, trains, keeps and continues."""

import json
import shutil
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import load_file
from tiny_recipes import PHASE, PHASES, tiny_recipe

from svd_core.models.video_autoencoder import VideoAutoencoder
from svd_core.tasks.networks import load_unet
from svd_core.training import loop, watching
from svd_core.training import phase as one_phase
from svd_core.training.execution import Execution
from svd_core.training.phase import LORA_FILE
from svd_core.training.phases import run_training


class Interruption(Exception):
    """Stands for a killed process."""


def network_files(folder: Path) -> dict[str, bytes]:
    names = ("*/ema.safetensors", "*/metrics.jsonl", "*/state/*", "*/unet/*.safetensors", f"*/{LORA_FILE}")
    return {str(path.relative_to(folder)): path.read_bytes() for name in names for path in folder.glob(name)}


@pytest.mark.slow
@pytest.mark.parametrize("stops", [(0, 4), (2, 0)])
def test_interrupted_in_any_phase_the_result_is_the_same_to_the_bit(
    stops: tuple[int, int], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kept in ("clips", "encoders", "records"):
        shutil.copytree(trained / kept, tmp_path / kept)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    batch_of = one_phase.batch_of
    for name, stop in zip(("videos", "lora"), stops, strict=True):

        def interrupt(settings, records, samples, *rest, name=name, stop=stop):
            if settings.name == name and samples.start == stop:
                raise Interruption
            return batch_of(settings, records, samples, *rest)

        monkeypatch.setattr(one_phase, "batch_of", interrupt)
        with pytest.raises(Interruption):
            run_training(tiny_recipe(*PHASES), tmp_path, Execution())
        torch.manual_seed(99)
    monkeypatch.setattr(one_phase, "batch_of", batch_of)
    run_training(tiny_recipe(*PHASES), tmp_path, Execution())
    assert network_files(tmp_path) == network_files(trained)


def test_no_frozen_network_runs_while_training(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users of public code pay for the autoencoder at every step."""
    for kept in ("clips", "encoders", "records"):
        shutil.copytree(trained / kept, tmp_path / kept)

    def never(*args: object) -> None:
        raise AssertionError("an encoder ran during training")

    for name in ("encode", "decode"):
        monkeypatch.setattr(VideoAutoencoder, name, never)
    monkeypatch.setattr("svd_core.encoders.clip_conditioning.ClipVision.encode", never)
    monkeypatch.setattr("svd_core.encoders.text.BagOfWords.encode", never)
    run_training(tiny_recipe(*PHASES), tmp_path, Execution())
    assert network_files(tmp_path) == network_files(trained)


def test_each_phase_has_the_inputs_of_its_task(trained: Path) -> None:
    found = {path.parent.name: load_unet(path).config for path in sorted(trained.glob("0*/unet"))}
    channels = {name: config["in_channels"] for name, config in found.items()}
    assert channels == {"00-images": 4, "01-videos": 4, "02-image_to_video": 8, "03-lora": 8}
    ids = {name: config["projection_class_embeddings_input_dim"] // 8 for name, config in list(found.items())[1:]}
    assert ids == {"01-videos": 2, "02-image_to_video": 3, "03-lora": 3}


def test_low_rank_weights_are_of_the_temporal_attention_and_the_network_below_stays(trained: Path) -> None:
    lora = load_file(trained / "03-lora" / LORA_FILE)
    assert lora
    assert all(".temporal_transformer_blocks." in name and ".attn" in name for name in lora)
    assert any(value.any() for name, value in lora.items() if "lora_B" in name), "it starts at zero and has learnt"
    before, after = (load_unet(trained / name / "unet").state_dict() for name in ("02-image_to_video", "03-lora"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_move_to_the_continuous_objective_begins_with_the_time_embedding(trained: Path, tmp_path: Path) -> None:
    """The paper's adaptation: the time embedding alone, then all layers, both with the continuous objective."""
    for kept in ("clips", "encoders", "records", "00-images"):
        shutil.copytree(trained / kept, tmp_path / kept)
    adaptation = {**PHASES[0], "objective": "continuous", "offset_noise": 0.0}
    recipe = tiny_recipe(
        PHASES[0], {**adaptation, "name": "time", "trained": "time_embedding"}, {**adaptation, "name": "all"}
    )
    run_training(recipe, tmp_path, Execution())
    before, time, everything = (
        load_file(tmp_path / name / "unet" / "diffusion_pytorch_model.safetensors")
        for name in ("00-images", "01-time", "02-all")
    )
    changed = {name for name in before if not torch.equal(before[name], time[name])}
    assert changed == {name for name in before if name.startswith("time_embedding.")}
    assert sum(not torch.equal(time[name], everything[name]) for name in before) > len(before) / 2


def test_interpolation_is_saved_as_a_plain_network_of_nine_channels(trained: Path, tmp_path: Path) -> None:
    for kept in ("clips", "encoders"):
        shutil.copytree(trained / kept, tmp_path / kept)
    phase = {**PHASE, "name": "between", "task": "frame_interpolation", "steps": 2, "frames": 4}
    run_training(tiny_recipe(phase, start=str(trained / "02-image_to_video")), tmp_path, Execution())
    assert load_unet(tmp_path / "00-between" / "unet").config["in_channels"] == 9
    assert "mask_embedding" in load_file(tmp_path / "00-between" / "ema.safetensors")


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ({"frames": 5}, "clip 'camera_moves-00000' has 4 frames; 5 are asked for"),
        ({"resolution": [17, 16]}, r"resolution \[17, 16\] must be multiples of 2, .* nearest: \[16, 16\]"),
    ],
)
def test_clips_that_do_not_fit_are_refused(
    phase: dict[str, object], message: str, trained: Path, tmp_path: Path
) -> None:
    for kept in ("clips", "encoders"):
        shutil.copytree(trained / kept, tmp_path / kept)
    with pytest.raises(ValueError, match=message):
        run_training(tiny_recipe({**PHASES[1], **phase}), tmp_path, Execution())
    assert not list((tmp_path / "records").glob("*[!f]/index.parquet"))


def test_a_wrong_latent_scale_is_refused_with_the_right_one(trained: Path, tmp_path: Path) -> None:
    for kept in ("clips", "encoders"):
        shutil.copytree(trained / kept, tmp_path / kept)
    path = tmp_path / "encoders" / "vae" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "scaling_factor": config["scaling_factor"] * 0.18215}))
    with pytest.raises(ValueError, match=r"standard deviation of 0\.1\d+ after scaling_factor=.* would fit"):
        run_training(tiny_recipe(PHASES[1]), tmp_path, Execution())


def test_a_run_is_never_continued_with_another_recipe(trained: Path, tmp_path: Path) -> None:
    shutil.copyfile(trained / "recipe.json", tmp_path / "recipe.json")
    for changes, asked, message in (
        ({"time_id_dim": 16}, PHASES, "began with another `time_id_dim`"),
        ({}, (PHASES[0], {**PHASES[1], "lr": 1e-2}, *PHASES[2:]), "began with other phases"),
        ({}, PHASES[:2], "began with other phases"),
    ):
        with pytest.raises(ValueError, match=message):
            run_training(tiny_recipe(*asked, **changes), tmp_path, Execution())


def test_impossible_recipes_are_refused() -> None:
    for phase, message in (
        ({"data": "other"}, "reads data 'other'; there are: zooms"),
        ({"task": "images"}, "trains on single frames; frames is 3"),
        ({"objective": "epsilon", "zero_terminal_snr": True}, "zero_terminal_snr needs objective v"),
        ({"zero_terminal_snr": True}, "are of the discrete objectives"),
    ):
        with pytest.raises(ValueError, match=message):
            tiny_recipe({**PHASES[1], **phase})
    with pytest.raises(ValueError, match="images come before videos"):
        tiny_recipe(PHASES[1], PHASES[0])


def test_sample_grids_are_drawn_and_change_nothing(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an image phase and of a LoRA: two clips a grid, as many columns as frames, in borders of two pixels."""
    for kept in ("clips", "encoders", "records", "01-videos", "02-image_to_video"):
        shutil.copytree(trained / kept, tmp_path / kept)
    monkeypatch.setattr(loop, "STEPS_PER_LINE", 1)
    monkeypatch.setattr(watching, "STEPS_PER_LINE", 1)
    watched = {"grid_every": 2, "grid_clips": 2}
    run_training(tiny_recipe(*PHASES, watch=watched), tmp_path, Execution())
    for name, frames in (("00-images", 1), ("03-lora", 3)):
        (grid,) = (tmp_path / name / "samples").iterdir()
        assert grid.name == "000000000004.png"  # two of three steps, two samples each
        pixels = cv2.imread(str(grid))
        assert pixels.shape == (2 + 2 * 18, 2 + frames * 18, 3)
        assert pixels.std() > 10
        for weights in ("ema.safetensors", "unet/diffusion_pytorch_model.safetensors"):
            assert (tmp_path / name / weights).read_bytes() == (trained / name / weights).read_bytes()
        timing = [json.loads(line) for line in (tmp_path / name / "timing.jsonl").read_text().splitlines()]
        assert [line["samples"] for line in timing[1:]] == [2, 4, 6]
        assert all(0 < line["mfu"] < 1 for line in timing[1:])
