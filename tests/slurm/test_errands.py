"""What is more than one ablation: a search, curation of one's own videos, a training on two nodes."""

import json
import signal
from collections import Counter

import cv2
import numpy as np
import optuna
import polars as pl
import pytest
from conftest import RAISES, TRAINS
from optuna.trial import TrialState

from svd_core.data.video import write_h264

pytestmark = pytest.mark.timeout(1200)
STUDY = {
    "question": "?",
    "recipe": "text_to_video",
    "parameters": {
        "pretrain_videos.p_mean": {"choices": [float(TRAINS), float(RAISES)]},
        "pretrain_videos.lr": {"low": 0.25, "high": 0.5, "step": 0.25},
    },
    "objectives": ["fvd"],
    "incumbent": {"pretrain_videos.p_mean": float(TRAINS), "pretrain_videos.lr": 0.25},
    "seeds": [0, 1],
    "trials": 4,
    "parallel": 4,
}
TRAINING = """
about: tiny
time_id_dim: 8
network: {block_out_channels: [32, 32], num_attention_heads: [2, 2]}
conditioners: {dim: 32}
autoencoder: {block_out_channels: [32, 32], steps: 2}
data: {moves: {render: camera_moves, move: static, count: 2, frames: 3, resolution: 16}}
phases:
  clip: {task: image_to_video, data: moves, resolution: [16, 16], frames: 3, steps: 125, batch_size: 2, lr: 1e-3}
generation: {steps: 2}
execution: {strategy: STRATEGY}
"""


def test_trials_of_a_search_are_arrays_and_a_killed_controller_finds_them(lab):
    lab.write_spec({"one": TRAINS, "two": RAISES}, steps=60)
    (lab.folder / "specs" / "study.yaml").write_text(json.dumps(STUDY, indent=1))
    arguments = ("--cluster", "light.yaml", "--out", "found")
    first = lab.start("search", *arguments, spec="study.yaml")

    def training():
        assert first.poll() is None, first.communicate()
        return any((stage, state) == ("pretrain_videos", "RUNNING") for stage, _, state in lab.tasks())

    lab.until(training)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    lab.ablate("search", *arguments, spec="study.yaml")
    assert (lab.folder / "found" / "report.html").exists()

    log = lab.store / "studies" / "study-scale.log"
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(log)))
    trials = optuna.load_study(study_name="study", storage=storage).get_trials()
    own = [trial for trial in trials if "duplicate_of" not in trial.user_attrs]
    ends = Counter((trial.params["pretrain_videos.p_mean"], trial.state) for trial in own)
    assert ends == {(float(TRAINS), TrialState.COMPLETE): 2, (float(RAISES), TrialState.FAIL): 2}
    failed = (trial.user_attrs["reason"] for trial in own if trial.state == TrialState.FAIL)
    assert all("this arm cannot be trained" in reason for reason in failed)
    orders = lab.orders()
    assert {each.stage for each in orders} == {"corpus", "pretrain_videos", "sample", "score"}
    assert max(len(each.tasks) for each in orders) >= 4  # trials of one round share their arrays
    submitted = Counter(key for each in orders for keys in each.tasks.values() for key in keys)
    made = {path.name: path.read_text().split().count("made") for path in (lab.store / "trace").iterdir()}
    assert all(submitted[key] == count == 1 for key, count in made.items() if count)


def video(path, seed):
    """Two seconds of drifting colours."""
    draw = np.random.default_rng(seed)
    picture = cv2.resize(draw.integers(64, 192, (3, 6, 3), np.uint8), (160, 80), interpolation=cv2.INTER_CUBIC)
    write_h264(path, [np.ascontiguousarray(picture[:, t : t + 80]) for t in range(16)], fps=8)


def test_curation_is_shared_among_tasks_and_merged(lab):
    folder = lab.folder / "videos"
    folder.mkdir()
    for number in range(20):
        video(folder / f"{number}.mp4", number)
    lab.write_cluster(stages={"curate": {"mem_gb": 4.0, "parallel": 2}})
    words = ("--motion", "dis")
    said = lab.errand("curate", "videos", "--out", "there", *words, "--cluster", "light.yaml")
    assert "submitted as job" in said
    assert "on its way already" in lab.errand("curate", "videos", "--out", "there", *words, "--cluster", "light.yaml")
    lab.errand("curate", "videos", "--out", "here", *words)
    lab.until_empty()
    here, there = ({path.name: path.read_bytes() for path in shards(lab.folder / name)} for name in ("here", "there"))
    assert len([name for name in there if name.endswith(".tar")]) == 2
    assert here == there
    assert pl.read_parquet(lab.folder / "there" / "clips.parquet")["error"].is_null().all()
    parts, whole = sorted(lab.orders(), key=lambda orders: -len(orders.tasks))
    assert len(parts.tasks) == 2
    assert whole.dependency.startswith("afterany:")
    again = lab.errand("curate", "videos", "--out", "there", *words, "--cluster", "light.yaml")
    assert "," not in again.partition("submitted as job")[2].partition(";")[0]  # nothing is missing: the merge alone


def shards(folder):
    return [path for path in folder.rglob("*") if path.suffix in (".tar", ".parquet")]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_training_on_two_nodes_goes_on_where_it_was_told_to_stop(lab, strategy):
    (lab.folder / "tiny.yaml").write_text(TRAINING.replace("STRATEGY", strategy))
    lab.write_cluster(stages={"train": {"nodes": 2, "mem_gb": 4.0}})
    said = lab.errand("train", "tiny.yaml", "--out", "run", "--cluster", "light.yaml")
    assert "submitted as job" in said
    lines = lab.folder / "run" / "00-clip" / "metrics.jsonl"
    lab.until(lambda: lines.exists() and lines.read_text())
    (orders,) = lab.orders()
    job = (lab.store / "slurm" / orders.name / "job").read_text()
    lab.cluster.command("scancel", "--signal=USR2", f"{job}_0")
    lab.until_empty()
    logs = [path.read_text() for path in sorted((lab.store / "slurm" / orders.name).glob("*_log.out"))]
    assert len(logs) == 2
    (stopped,) = {line for log in logs for line in log.splitlines() if line.startswith("stopped: ")}
    assert "trained" in logs[0]
    assert (lab.folder / "run" / "00-clip" / "unet" / "config.json").exists()
    samples = [json.loads(line)["samples"] for line in lines.read_text().splitlines()]
    assert samples == sorted(set(samples))
    assert samples[-1] == 250
    assert stopped.endswith("of 250 samples")
