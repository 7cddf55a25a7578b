"""The two stages from end to end, on a tiny network: what interruptions and longer trainings may not change."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from ranks import run_ranks
from safetensors.torch import load_file

from svd_core.data.latents import read_encoded
from svd_core.models.inflation import video_name
from svd_core.models.networks import load_image_unet, load_video_unet
from svd_core.settings import FinetuneSettings, VideoPretrainingSettings
from svd_core.training import stages
from svd_core.training.batches import draw_batch, schedule_of
from svd_core.training.objectives import objective_of
from svd_core.training.settings import ComputeSettings
from svd_core.training.stages import finetune, pretrain_videos

RANK = Path(__file__).with_name("rank_of_pretraining.py")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def run(
    video_settings: VideoPretrainingSettings,
    subset: Path,
    latents: Path,
    images: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """An undisturbed training."""
    out = tmp_path_factory.mktemp("undisturbed")
    pretrain_videos(video_settings, subset, latents, images, out)
    return out


def test_artifacts_hold_what_later_stages_read(images: Path, run: Path) -> None:
    expected = {"config.json", "ema.safetensors", "metrics.jsonl"}
    assert {name for name in contents(run) if not name.startswith("state/")} == expected
    assert "metrics.jsonl" in contents(images)
    assert load_image_unet(images).config["in_channels"] == 4
    config = json.loads((run / "config.json").read_text())
    assert (config["latent_shape"], config["text_shape"], config["clips"]) == ([3, 4, 4, 4], [5, 8], 7)
    network = load_video_unet(run)
    assert sum(value.numel() for value in network.parameters()) == config["parameters"]


@pytest.mark.parametrize("seed", [0, 1])
def test_interrupted_at_any_step_the_result_is_the_same_to_the_bit(
    seed: int,
    run: Path,
    video_settings: VideoPretrainingSettings,
    subset: Path,
    latents: Path,
    images: Path,
    tmp_path: Path,
    interrupted_at: Callable[[int], AbstractContextManager[None]],
) -> None:
    out = tmp_path / "interrupted"
    out.mkdir()
    chance = random.Random(seed)
    for stop in sorted(chance.sample(range(2, 60, 2), 2)):
        with interrupted_at(stop):
            pretrain_videos(video_settings, subset, latents, images, out)
        torch.manual_seed(chance.randrange(100))
    pretrain_videos(video_settings, subset, latents, images, out)
    assert contents(out) == contents(run)


def test_a_shorter_training_is_a_prefix_to_the_bit(
    run: Path,
    video_settings: VideoPretrainingSettings,
    subset: Path,
    latents: Path,
    images: Path,
    tmp_path: Path,
) -> None:
    short, long = tmp_path / "short", tmp_path / "long"
    for out, samples, previous in ((short, 20, None), (long, 60, short)):
        out.mkdir()
        settings = video_settings.model_copy(update={"samples": samples})
        pretrain_videos(settings, subset, latents, images, out, previous=previous)
    assert contents(long) == contents(run)
    assert (run / "metrics.jsonl").read_bytes().startswith((short / "metrics.jsonl").read_bytes())


def test_only_clips_of_the_subset_are_read(
    video_settings: VideoPretrainingSettings,
    subset: Path,
    latents: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    draw_batch = stages.draw_batch

    def watch(*args: object) -> object:
        batch = draw_batch(*args)
        seen.extend(batch.clip_ids)
        return batch

    monkeypatch.setattr(stages, "draw_batch", watch)
    pretrain_videos(video_settings, subset, latents, images, tmp_path)
    kept = pl.read_parquet(subset / "subset.parquet")["clip_id"].to_list()
    assert sorted(seen[:7]) == sorted(kept)  # one epoch
    assert len(seen) == 60


def test_seeds_differ_in_their_draws_and_new_weights(
    run: Path,
    video_settings: VideoPretrainingSettings,
    subset: Path,
    latents: Path,
    images: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "other"
    out.mkdir()
    pretrain_videos(video_settings.model_copy(update={"seed": 1}), subset, latents, images, out)
    assert load_file(out / "ema.safetensors").keys() == load_file(run / "ema.safetensors").keys()
    assert contents(out)["ema.safetensors"] != contents(run)["ema.safetensors"]


def test_an_empty_subset_and_clips_without_latents_are_refused(
    video_settings: VideoPretrainingSettings, latents: Path, images: Path, tmp_path: Path
) -> None:
    pl.DataFrame({"clip_id": []}, schema={"clip_id": pl.String}).write_parquet(tmp_path / "subset.parquet")
    with pytest.raises(ValueError, match="no clip left to train on"):
        pretrain_videos(video_settings, tmp_path, latents, images, tmp_path)
    with pytest.raises(KeyError, match="1 of 2 clips have no latents, the first of them 'unknown'"):
        read_encoded(latents).select(["clip1", "unknown"])


@pytest.mark.slow
def test_two_processes_train_as_one_and_one_of_another_number_goes_on(
    run: Path,
    video_settings: VideoPretrainingSettings,
    subset: Path,
    latents: Path,
    images: Path,
    tmp_path: Path,
) -> None:
    """Twenty samples on two processes, then as many as in `run` from there in one, in micro-batches."""
    short, long = tmp_path / "short", tmp_path / "long"
    folders = [str(path) for path in (subset, latents, images)]
    for out, samples, processes, before in ((short, 20, 2, []), (long, 60, 1, [str(short)])):
        out.mkdir()
        settings = video_settings.model_copy(update={"samples": samples}).model_dump_json()
        compute = ComputeSettings(strategy="fsdp", micro_batch=1).model_dump_json()
        command = [str(RANK), settings, compute, *folders, str(out), *before]
        ended = run_ranks("-W", "error", *command, processes=processes)
        assert [status for status, _ in ended] == [0] * processes
    one, other = (json.loads((folder / "metrics.jsonl").read_text().splitlines()[0]) for folder in (run, long))
    assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
    assert (long / "config.json").read_bytes() == (run / "config.json").read_bytes()
    one, other = (load_file(folder / "ema.safetensors") for folder in (run, long))
    assert one.keys() == other.keys()
    apart = torch.cat([(one[name] - other[name]).flatten() for name in one])
    moved = torch.cat([(one[name] - start).flatten() for name, start in start_of(one, images).items()])
    assert apart.norm() < 1e-3 * moved.norm()


def start_of(average: dict[str, torch.Tensor], images: Path) -> dict[str, torch.Tensor]:
    """What the layers that came from the image network were before."""
    names = {video_name(name): value for name, value in load_file(images / "ema.safetensors").items()}
    return {name: names[name] for name in average if name in names}


@pytest.mark.slow
def test_killed_for_real_the_result_is_the_same_to_the_bit(
    run: Path,
    video_settings: VideoPretrainingSettings,
    subset: Path,
    latents: Path,
    images: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "killed"
    out.mkdir()
    program = (
        "import sys, torch; from pathlib import Path; torch.set_num_threads(1);"
        "from svd_core.settings import VideoPretrainingSettings; from svd_core.training import loop, stages;"
        "loop.CHECKPOINT_EVERY_S = 0.0;"
        "stages.pretrain_videos(VideoPretrainingSettings.model_validate_json(sys.argv[1]),"
        " *(Path(path) for path in sys.argv[2:]))"
    )
    command = [sys.executable, "-c", program, video_settings.model_dump_json(), subset, latents, images, out]
    for _ in range(2):
        seen = len(list((out / "state").glob("*.safetensors")))
        process = subprocess.Popen(command)
        while len(list((out / "state").glob("*.safetensors"))) <= min(seen, 1) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.Random(seen).random() * 0.2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True)
    assert contents(out) == contents(run)


def test_new_layers_learn_faster(latents: Path, subset: Path, images: Path, tmp_path: Path) -> None:
    """Adam's first step is the learning rate in size: the largest change of any weight tells it."""
    settings = VideoPretrainingSettings(samples=2, batch_size=2, warmup_samples=0, lr=1e-4, new_layers_lr_scale=5.0)
    pretrain_videos(settings, subset, latents, images, tmp_path)
    after = load_file(tmp_path / "state" / "000000000002.safetensors")
    before = load_file(images / "ema.safetensors")
    old = max((after[f"network.{video_name(name)}"] - value).abs().max().item() for name, value in before.items())
    new = [value for name, value in after.items() if re.match(r"network\..*temporal_res_block\.conv2\.weight", name)]
    assert old == pytest.approx(1e-4, rel=0.05)
    assert max(value.abs().max().item() for value in new) == pytest.approx(5e-4, rel=0.05), "these start at zero"


def test_finetuning_starts_from_the_video_network(run: Path, subset: Path, latents: Path, tmp_path: Path) -> None:
    still = FinetuneSettings(samples=2, batch_size=2, lr=1e-30)
    finetune(still, subset, latents, run, tmp_path)
    before, after = (load_file(folder / "ema.safetensors") for folder in (run, tmp_path))
    assert after.keys() == before.keys()
    assert all(torch.allclose(after[name], value, rtol=1e-6, atol=0) for name, value in before.items())


def test_finetuning_may_see_larger_clips_and_goes_on_in_segments(
    run: Path, subset: Path, larger_latents: Path, tmp_path: Path
) -> None:
    whole, short, long = (tmp_path / name for name in ("whole", "short", "long"))
    settings = FinetuneSettings(samples=8, batch_size=2, continues=0.5)
    assert settings.segments == (4, 8)
    for out, samples, previous in ((whole, 8, None), (short, 4, None), (long, 8, short)):
        out.mkdir()
        segment = settings.model_copy(update={"samples": samples})
        finetune(segment, subset, larger_latents, run, out, previous=previous)
    assert contents(long) == contents(whole)
    config = json.loads((long / "config.json").read_text())
    assert (config["latent_shape"], "continues" in config["settings"]) == ([3, 4, 8, 8], False)


def test_losses_of_predicted_noise_and_of_v_are_those_of_the_schedule(latents: Path) -> None:
    clips = read_encoded(latents)
    for objective in ("v", "epsilon"):
        settings = VideoPretrainingSettings(samples=2, batch_size=2, objective=objective)
        batch = draw_batch(settings, "pretrain_videos", clips, range(2))
        schedule = schedule_of(settings.objective)
        assert schedule is not None and batch.step is not None
        right = schedule.target(batch.clean, batch.noise, batch.step, objective)

        def network(x: torch.Tensor, *args: object, answer: torch.Tensor = right, **kwargs: object) -> tuple[Any]:
            return (answer + 0.5,)

        losses = objective_of(objective, schedule, video=True)(network, batch)  # type: ignore[arg-type]
        torch.testing.assert_close(losses, torch.full((2,), 0.25))
