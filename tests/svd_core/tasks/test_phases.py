"""Whole trainings of every task on tiny networks: what each phase starts from, trains, keeps and continues."""

import json
import shutil
from pathlib import Path

import cv2
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from tiny_recipes import PHASE, PHASES, copied, tiny_recipe

from svd_core.data.encoding import make_records
from svd_core.data.settings import RecordSettings
from svd_core.encoders.text import PromptTooLong
from svd_core.models.checkpoints import CheckpointError
from svd_core.models.inflation import is_new
from svd_core.models.video_autoencoder import VideoAutoencoder
from svd_core.tasks.networks import LORA_FILE, load_unet
from svd_core.training import loop, watching
from svd_core.training import phase as one_phase
from svd_core.training.execution import Execution
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
    copied(trained, tmp_path, "clips", "encoders", "records")
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
    copied(trained, tmp_path, "clips", "encoders", "records")

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
    copied(trained, tmp_path, "clips", "encoders", "records", "00-images")
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
    copied(trained, tmp_path, "clips", "encoders")
    phase = {**PHASE, "name": "between", "task": "frame_interpolation", "steps": 2, "frames": 4}
    run_training(tiny_recipe(phase, start=str(trained / "02-image_to_video")), tmp_path, Execution())
    assert load_unet(tmp_path / "00-between" / "unet").config["in_channels"] == 9
    assert "mask_embedding" in load_file(tmp_path / "00-between" / "ema.safetensors")


def test_new_layers_of_interpolation_have_their_own_learning_rate(trained: Path, tmp_path: Path) -> None:
    """All of them, though the network is wrapped: at a rate of nothing more steps change none."""
    found = []
    for steps in (1, 3):
        out = tmp_path / str(steps)
        for kept in ("clips", "encoders", "00-images"):
            shutil.copytree(trained / kept, out / kept)
        phase = {
            **PHASE,
            "name": "between",
            "task": "frame_interpolation",
            "steps": steps,
            "new_layers_lr_scale": 1e-12,
        }
        run_training(tiny_recipe(PHASES[0], phase), out, Execution())
        found.append(load_file(out / "01-between" / "unet" / "diffusion_pytorch_model.safetensors"))
    once, more = found
    for name, value in once.items():
        still = torch.allclose(value, more[name], rtol=0, atol=1e-9)
        assert still or not is_new(name), name
        assert not still or is_new(name) or not more[name].any() or "attn2.to_" in name, name


def test_clips_shorter_than_asked_for_are_named(trained: Path, tmp_path: Path) -> None:
    long = RecordSettings(resolution=(16, 16), frames=5)
    with pytest.raises(ValueError, match="clip 'camera_moves-00000' has 4 frames; 5 are asked for"):
        make_records(long, trained / "clips" / "zooms", trained / "encoders", tmp_path)


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        ({"frames": 5}, "phase videos needs 5 frames; data zooms has 4"),
        ({"resolution": [17, 16]}, r"resolution \[17, 16\] must be multiples of 2, .* nearest: \[16, 16\]"),
    ],
)
def test_clips_that_do_not_fit_are_refused(
    phase: dict[str, object], message: str, trained: Path, tmp_path: Path
) -> None:
    copied(trained, tmp_path, "clips", "encoders")
    with pytest.raises(ValueError, match=message):
        run_training(tiny_recipe({**PHASES[1], **phase}), tmp_path, Execution())
    assert not list((tmp_path / "records").glob("*[!f]/index.parquet"))


def test_a_wrong_latent_scale_is_refused_with_the_right_one(trained: Path, tmp_path: Path) -> None:
    copied(trained, tmp_path, "clips", "encoders")
    path = tmp_path / "encoders" / "vae" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "scaling_factor": config["scaling_factor"] * 0.18215}))
    with pytest.raises(ValueError, match=r"standard deviation of 0\.1\d+ after scaling_factor=.* would fit"):
        run_training(tiny_recipe(PHASES[1]), tmp_path, Execution())


def test_random_spatial_weights_are_the_arm_without_stage_one(trained: Path, tmp_path: Path) -> None:
    copied(trained, tmp_path, "clips", "encoders", "records", "00-images")
    unmoved = {**PHASES[1], "lr": 1e-30, "steps": 1}
    run_training(tiny_recipe(PHASES[0], unmoved, spatial="random"), tmp_path, Execution())
    image, random = (load_unet(run / "unet").state_dict() for run in (trained / "00-images", tmp_path / "01-videos"))
    assert not torch.equal(random["conv_out.weight"], image["conv_out.weight"])
    with pytest.raises(ValueError, match="began with other `spatial`"):
        run_training(tiny_recipe(PHASES[0], unmoved), tmp_path, Execution())
    kept = {"start": str(trained / "01-videos"), "spatial": "random"}
    with pytest.raises(CheckpointError, match=r"spatial: random leaves .* weights behind; .* of videos"):
        run_training(tiny_recipe(PHASES[2], **kept), tmp_path / "other", Execution())


def test_a_size_that_latents_do_not_fill_is_refused_before_the_autoencoder_is_trained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"resolution \[17, 16\] must be multiples of 2, .* nearest: \[16, 16\]"):
        run_training(tiny_recipe({**PHASES[1], "resolution": [17, 16]}), tmp_path, Execution())


def test_impossible_recipes_are_refused() -> None:
    for phase, message in (
        ({"data": "other"}, "reads data 'other'; there are: zooms"),
        ({"task": "images"}, "trains on single frames; frames is 3"),
        ({"objective": "epsilon", "zero_terminal_snr": True}, "zero_terminal_snr needs objective v"),
        ({"zero_terminal_snr": True}, "are of the discrete objectives"),
        ({"task": "frame_interpolation", "trained": "lora"}, "trains all layers, with its mask's embedding; not lora"),
        ({"seed": -1}, "greater than or equal to 0"),
    ):
        with pytest.raises(ValueError, match=message):
            tiny_recipe({**PHASES[1], **phase})
    with pytest.raises(ValueError, match=r"data zooms: frames is a setting of renderings; .* phases say the size"):
        tiny_recipe(*PHASES, data={"zooms": {"folder": "mine", "frames": 14}})
    with pytest.raises(ValueError, match="images come before videos"):
        tiny_recipe(PHASES[1], PHASES[0])
    with pytest.raises(ValueError, match=r"phase lora trains low-rank weights, .* put it last"):
        tiny_recipe(*PHASES, {**PHASES[2], "name": "more"})
    with pytest.raises(ValueError, match=r"generation\.steps must be below 1000, the noise levels of phase videos"):
        tiny_recipe({**PHASES[1], "objective": "v"}, generation={"steps": 1000})
    with pytest.raises(ValueError, match="sigma_min 2 must be below sigma_max 1"):
        tiny_recipe(PHASES[1], generation={"sigma_min": 2.0, "sigma_max": 1.0})


@pytest.mark.parametrize(
    ("start", "changes", "message"),
    [
        ("02-image_to_video", {"conditioners": {"dim": 64}}, "cross_attention_dim is 32, .* encoders need 64"),
        ("02-image_to_video", {"autoencoder": {"latent_channels": 8, "steps": 1}}, "out_channels is 4, .* need 8"),
        ("", {}, "holds a LoRA, and nothing trains on from one"),
    ],
)
def test_a_start_that_does_not_fit_is_refused_before_anything_is_encoded(
    start: str, changes: dict[str, object], message: str, trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "clips", tmp_path / "clips")
    recipe = tiny_recipe(PHASES[2], start=str(trained / start), **changes)
    with pytest.raises(CheckpointError, match=message):
        run_training(recipe, tmp_path, Execution())
    assert not (tmp_path / "records").exists()


def test_a_caption_that_is_too_long_is_said_before_anything_is_encoded(trained: Path, tmp_path: Path) -> None:
    copied(trained, tmp_path, "clips", "encoders")
    table = tmp_path / "clips" / "zooms" / "clips.parquet"
    clips = pl.read_parquet(table)
    long = pl.when(pl.col("clip_id") == "camera_moves-00004").then(pl.lit("word " * 21)).otherwise("caption")
    clips.with_columns(caption=long).write_parquet(table)
    with pytest.raises(PromptTooLong, match="clip 'camera_moves-00004': prompt of 21 words"):
        run_training(tiny_recipe(PHASES[1]), tmp_path, Execution())
    assert not list((tmp_path / "records").glob("*/shards/*"))


def test_sample_grids_are_drawn_and_change_nothing(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an image phase and of a LoRA: two clips a grid, as many columns as frames, in borders of two pixels."""
    copied(trained, tmp_path, "clips", "encoders", "records", "01-videos", "02-image_to_video")
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
