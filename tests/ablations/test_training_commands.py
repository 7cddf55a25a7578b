"""The commands train, sample and export, and the packaged trainings."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import torch

from ablations.errors import AblateError
from ablations.training import load_recipe, recipes
from svd_core.data.records import Records
from svd_core.data.settings import STILLS
from svd_core.data.video import write_h264

TABLE = {  # paper, section 4 and appendix D
    "edm_time_embedding": ((512, 512), 1, 1_000, None, None, -1.2, 1.0),
    "edm_all_layers": ((256, 384), 1, 30_000, None, None, -1.2, 1.0),
    "pretrain_a": ((256, 384), 14, 150_000, 1536, 1e-4, -1.2, 1.0),
    "pretrain_b": ((320, 576), 14, 100_000, 768, 1e-4, 0.0, 1.0),
    "text_to_video_hq": ((576, 1024), 14, 50_000, 768, 3e-5, 0.5, 1.4),
    "image_to_video_base": ((320, 576), 14, 50_000, 768, 3e-5, 0.7, 1.6),
    "image_to_video_hq_14": ((576, 1024), 14, 50_000, 768, 3e-5, 1.0, 1.6),
    "image_to_video_hq_25": ((576, 1024), 25, 50_000, 768, 3e-5, 1.0, 1.6),
    "interpolation": ((576, 1024), 5, 10_000, 256, 1e-4, 1.0, 1.2),
    "multi_view": ((576, 576), 21, 12_000, 16, 1e-5, None, None),
}
TINY = """
about: tiny
time_id_dim: 8
network: {block_out_channels: [32, 32], num_attention_heads: [2, 2]}
conditioners: {dim: 32}
autoencoder: {block_out_channels: [32, 32], steps: 2}
data: {moves: {render: camera_moves, move: static, count: 2, frames: 3, resolution: 16}}
phases:
  clip: {task: image_to_video, data: moves, resolution: [16, 16], frames: 3, steps: 25, batch_size: 2, lr: 1e-3}
generation: {steps: 2}
watch: {grid_every: 25, grid_clips: 1}
"""


def ablate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ablations.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", recipes())
def test_every_packaged_training_is_valid(name: str) -> None:
    assert load_recipe(name, [], None).phases


def test_the_released_recipe_is_the_papers_table() -> None:
    names = [name for name in recipes() if name.startswith("svd")]
    found = {phase.name: phase for name in names for phase in load_recipe(name, [], None).chain}
    for name, (resolution, frames, steps, batch, lr, p_mean, p_std) in TABLE.items():
        phase = found[name]
        assert (phase.resolution, phase.frames, phase.steps) == (resolution, frames, steps)
        assert batch in (None, phase.batch_size)
        assert lr in (None, phase.lr)
        assert p_mean in (None, phase.p_mean)
        assert p_std in (None, phase.p_std)
        assert phase.ema == 0.9999
    assert (found["horizontal"].lora_rank, found["horizontal"].steps) == (16, 5000)
    assert found["pretrain_a"].text_dropout == 0.15


def test_misspelt_names_are_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(AblateError, match="unknown training 'image_to_vdeo'; did you mean 'image_to_video'"):
        load_recipe("image_to_vdeo", [], None)
    with pytest.raises(AblateError, match="--data clip=x: expected NAME=FOLDER; did you mean 'clips'"):
        load_recipe("image_to_video", ["clip=x"], None)
    path = tmp_path / "mine.yaml"
    path.write_text(TINY.replace("strength", "x").replace("lr: 1e-3", "lr: 1e-3, p_meen: 1.0"))
    with pytest.raises(AblateError, match=r"mine.yaml:9:\d+: unknown key 'p_meen'; did you mean 'p_mean'"):
        load_recipe(str(path), [], None)


@pytest.mark.slow
def test_train_sample_export_and_sample_what_was_exported(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "first.png"), picture)
    run, made, exported, again = (tmp_path / name for name in ("run", "made", "exported", "again"))
    results = []
    for arguments in (
        ("train", tmp_path / "tiny.yaml", "--out", run, "--tensorboard", tmp_path / "curves"),
        ("sample", run, "--image", tmp_path / "first.png", "--out", made),
        ("export", run, "--out", exported),
        ("sample", exported, "--image", tmp_path / "first.png", "--out", again),
    ):
        result = ablate(*arguments)
        assert result.returncode == 0, result.stderr
        results.append(result.stdout)
    assert f"ablate sample {run} --image PICTURE --out FOLDER" in " ".join(results[0].split())
    assert "StableVideoDiffusionPipeline.from_pretrained loads it" in " ".join(results[2].split())
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (phase,) = (tmp_path / "curves").iterdir()
    events = EventAccumulator(str(phase))
    events.Reload()
    assert {"loss", "grad_norm", "samples_per_second", "mfu", "memory_bytes"} <= set(events.Tags()["scalars"])
    assert [event.step for event in (*events.Scalars("loss"), *events.Images("samples"))] == [50, 50]
    strips = [cv2.imread(str(folder / "frames.png")).astype(int) for folder in (made, again)]
    assert strips[0].shape == (16, 48, 3)
    assert abs(strips[0] - strips[1]).max() <= 1
    assert (made / "clip.mp4").stat().st_size > 0
    refused = ablate("sample", run, "--prompt", "a ring", "--out", made)
    assert refused.returncode == 2
    assert refused.stderr == "ablate: task image_to_video takes 1 images, got 0\n"
    taken = ablate("train", tmp_path / "tiny.yaml", "--out", tmp_path / "first.png")
    assert (taken.returncode, taken.stderr.count("\n")) == (2, 1), taken.stderr
    missing = ablate("train", "svd", "--out", tmp_path / "svd")
    assert missing.returncode == 2
    assert "data images: curated/images has no clips.parquet" in missing.stderr


@pytest.mark.slow
def test_ones_own_videos_are_curated_and_trained_on(tmp_path: Path) -> None:
    """Text-to-video on three clips of unlike sizes; where one has no caption that is refused."""
    (tmp_path / "videos").mkdir()
    for number, side in enumerate((48, 64, 80)):
        wall = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        wall = cv2.resize(wall, (2 * side, 2 * side), interpolation=cv2.INTER_CUBIC)
        large = [wall[:side, place : place + side + 16] for place in range(30)]
        write_h264(tmp_path / "videos" / f"{number}.mp4", large, 10)
        (tmp_path / "videos" / f"{number}.txt").write_text(f"a pattern of {number}")
    curated, run = tmp_path / "curated", tmp_path / "run"
    assert ablate("curate", tmp_path / "videos", "--out", curated).returncode == 0
    text = TINY.replace("image_to_video", "text_to_video").replace("steps: 25", "steps: 2")
    still = re.search(r"clip: \{.*\}", text)[0].replace("clip:", "still:").replace("text_to_video", "images")
    (tmp_path / "tiny.yaml").write_text(
        text.replace("phases:\n", f"phases:\n  {still.replace('frames: 3', 'frames: 1')}\n")
    )
    done = ablate("train", tmp_path / "tiny.yaml", "--data", f"moves={curated}", "--out", run)
    assert done.returncode == 0, done.stderr
    assert [len(Records(folder)[0].latents) for folder in sorted((run / "records").iterdir())] == [STILLS, 3]
    records = Records(next((run / "records").glob("*x3-*")))
    assert len(records) == 3
    assert records[0].latents.shape == (3, 4, 8, 8)
    assert torch.equal(records[0].text[0], records[0].text[2])  # the one caption stands for all three
    clips = pl.read_parquet(curated / "clips.parquet")
    bare = clips.with_columns(caption=pl.when(pl.col("clip_id") == clips["clip_id"][1]).then(None).otherwise("caption"))
    bare.write_parquet(curated / "clips.parquet")
    refused = ablate("train", tmp_path / "tiny.yaml", "--data", f"moves={curated}", "--out", tmp_path / "other")
    assert refused.returncode == 2
    assert "1 of 3 clips of" in refused.stderr
    assert f"have no caption, the first of them '{clips['clip_id'][1]}'" in " ".join(refused.stderr.split())
    (tmp_path / "subset").mkdir()
    clips.filter(pl.col("clip_id") != clips["clip_id"][1]).write_parquet(tmp_path / "subset" / "subset.parquet")
    entry = f"moves: {{folder: {curated}, subset: {tmp_path / 'subset'}}}"
    text = (tmp_path / "tiny.yaml").read_text()
    (tmp_path / "tiny.yaml").write_text(re.sub(r"moves: \{.*?\}", entry, text))
    done = ablate("train", tmp_path / "tiny.yaml", "--out", tmp_path / "few")
    assert done.returncode == 0, done.stderr
    assert len(Records(next((tmp_path / "few" / "records").iterdir()))) == 2
