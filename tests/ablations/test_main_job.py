"""The main job as its user runs it: `ablate run data_curation`, tiny but with every part real."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablations.artifacts import Store
from ablations.plan import plan
from ablations.spec import HOME, load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ABLATE = [str(Path(sys.executable).with_name("ablate"))]
TABLES = ("table.md", "table.tex", "table.csv")


def ablate(folder, *arguments, **variables):
    command = [*ABLATE, *arguments]
    environment = {**os.environ, "ABLATE_STORE": str(folder / "store"), **variables}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def tables(folder):
    return {name: (folder / "results" / name).read_bytes() for name in TABLES}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A whole run at smoke scale, in one process."""
    folder = tmp_path_factory.mktemp("smoke")
    done = ablate(folder, "run", "data_curation", "--scale", "smoke", "--out", "results")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def copy_of(smoke, tmp_path):
    shutil.copytree(smoke, tmp_path / "copy")
    return tmp_path / "copy"


def test_the_report_is_whole(smoke):
    results = smoke / "results"
    for name in ("report.html", *TABLES):
        assert (results / name).stat().st_size > 0
    assert list(results.rglob("*.png"))
    assert list(results.rglob("*.pdf"))
    markdown = (results / "table.md").read_text().replace("\\", "")
    for arm in ("unfiltered", "filtered", "same_size_random"):
        assert arm in markdown
    assert "FVD[i3d-k400]" in markdown


def test_every_metric_was_measured(smoke):
    store = Store(smoke / "store")
    for roles in plan(load("data_curation", "smoke")).runs.values():
        scores = json.loads((store.artifact(roles["score"]) / "scores.json").read_text())
        assert {name: entry["error"] for name, entry in scores.items()} == dict.fromkeys(scores)
        assert all(entry["value"] is not None for entry in scores.values())


def test_the_same_command_again_runs_nothing(smoke, tmp_path):
    folder = copy_of(smoke, tmp_path)
    done = ablate(folder, "run", "data_curation", "--scale", "smoke", "--out", "results")
    assert done.returncode == 0
    assert "\n0 stages to run" in done.stdout
    assert tables(folder) == tables(smoke)


def test_a_damaged_artifact_is_said_and_made_again(smoke, tmp_path):
    folder = copy_of(smoke, tmp_path)
    key = plan(load("data_curation", "smoke")).runs["filtered", 1]["sample"]
    victim = folder / "store" / "artifacts" / key / "videos.safetensors"
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    done = ablate(folder, "run", "data_curation", "--scale", "smoke", "--out", "results")
    assert done.returncode == 0
    assert f"damaged artifact discarded, it will be made again: {key}: videos.safetensors has changed" in done.stdout
    assert "\n1 stages to run" in done.stdout
    assert tables(folder) == tables(smoke)


def test_a_fourth_arm_runs_only_its_own_stages(smoke, tmp_path):
    folder = copy_of(smoke, tmp_path)
    text = (HOME / "specs" / "data_curation.yaml").read_text()
    arm = "  fourth: {pretrain_videos.p_mean: 0.5}\nprimary: fvd"
    (folder / "data_curation.yaml").write_text(text.replace("primary: fvd", arm))
    done = ablate(folder, "run", "data_curation.yaml", "--scale", "smoke", "--out", "results")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n9 stages to run" in done.stdout  # three seeds of training, sampling, scoring
    assert "fourth" in (folder / "results" / "table.md").read_text()


def test_killed_at_random_moments_it_ends_with_the_same_tables(smoke, tmp_path):
    """Through submitit's local executor, killed with everything it started, again and again."""
    smoke_scale = (HOME / "scales" / "smoke.yaml").read_text()
    assert "in_process: true" in smoke_scale
    (tmp_path / "smoke.yaml").write_text(smoke_scale.replace("in_process: true", "in_process: false"))
    command = [*ABLATE, "run", "data_curation", "--scale", "smoke.yaml", "--out", "results"]
    environment = {**os.environ, "ABLATE_STORE": str(tmp_path / "store")}
    draw = random.Random(0)
    for _ in range(4):
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(draw.uniform(4, 20))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tables(tmp_path) == tables(smoke)


def test_a_wrong_spec_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "odd.yaml").write_text("question: x\narms: {a: {}, a: {}}\n")
    done = ablate(tmp_path, "run", "odd.yaml")
    assert done.returncode == 2
    assert "odd.yaml:2:15: this key stands twice: 'a'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()


def test_missing_weights_are_refused_before_anything_runs(tmp_path):
    done = ablate(tmp_path, "run", "data_curation", "--scale", "smoke", ABLATE_WEIGHTS=str(tmp_path / "none"))
    assert done.returncode == 2
    assert "ablate weights fetch i3d_k400" in done.stderr
    assert not (tmp_path / "store").exists()


def test_a_store_that_cannot_be_written_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    done = ablate(tmp_path, "run", "data_curation", "--scale", "smoke", ABLATE_STORE=str(tmp_path / "file" / "store"))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
