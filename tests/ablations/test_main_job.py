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
    arm = "  fourth: {pretrain_videos.p_mean: 0.5}\nfamily: "
    (folder / "data_curation.yaml").write_text(text.replace("family: ", arm))
    done = ablate(folder, "run", "data_curation.yaml", "--scale", "smoke", "--out", "results")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n9 stages to run" in done.stdout  # three seeds of training, sampling, scoring
    assert "fourth" in (folder / "results" / "table.md").read_text()


def write_part(folder):
    """Two arms and two seeds of the main job: enough to be killed in."""
    text = (HOME / "specs" / "data_curation.yaml").read_text()
    control = text[text.index("  same_size_random:") : text.index("family:")]
    assert "seeds: [0, 1, 2]" in text
    (folder / "part.yaml").write_text(text.replace(control, "").replace("seeds: [0, 1, 2]", "seeds: [0, 1]"))


@pytest.fixture(scope="module")
def part(smoke, tmp_path_factory):
    """The part of the main job that the tests below interrupt, undisturbed: all its stages are the whole one's."""
    folder = tmp_path_factory.mktemp("part")
    write_part(folder)
    done = ablate(folder, "run", "part.yaml", "--scale", "smoke", "--out", "results", ABLATE_STORE=str(smoke / "store"))
    assert "\n0 stages to run" in done.stdout, done.stdout + done.stderr
    return folder


@pytest.fixture
def through_submitit(tmp_path):
    """That part through submitit's local executor: a function that starts it in a session of its own."""
    smoke_scale = (HOME / "scales" / "smoke.yaml").read_text()
    assert "in_process: true" in smoke_scale
    (tmp_path / "smoke.yaml").write_text(smoke_scale.replace("in_process: true", "in_process: false"))
    write_part(tmp_path)
    command = [*ABLATE, "run", "part.yaml", "--scale", "smoke.yaml", "--out", "results"]
    environment = {**os.environ, "ABLATE_STORE": str(tmp_path / "store")}

    def start(**variables):
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


def alive(group):
    """Whether a process of the group lives."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.mark.long
def test_killed_at_random_moments_it_ends_with_the_same_tables(part, tmp_path, through_submitit):
    """Killed with everything it started, again and again."""
    draw = random.Random(0)
    for _ in range(3):
        process = through_submitit()
        time.sleep(draw.uniform(4, 20))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    process = through_submitit()
    output = process.communicate()
    assert process.returncode == 0, output
    assert tables(tmp_path) == tables(part)


@pytest.mark.long
def test_ctrl_c_stops_everything_quietly_and_a_lost_parent_nothing(part, tmp_path, through_submitit):
    """Ctrl-C reaches all processes of the terminal. Killed alone, `ablate run` leaves jobs that the next one awaits."""
    process = through_submitit()
    until((tmp_path / "store" / "claims").exists)
    time.sleep(5)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate()
    assert (process.returncode, stderr) == (130, "ablate: interrupted; the same command continues\n")
    until(lambda: not alive(process.pid))

    with through_submitit() as process:
        time.sleep(6)
        process.send_signal(signal.SIGKILL)
    again = through_submitit()
    output = again.communicate()
    assert again.returncode == 0, output
    assert tables(tmp_path) == tables(part)
    until(lambda: not alive(process.pid))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 12 MB: a run at smoke scale needs more."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a file system takes root: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.long
def test_a_full_disk_stops_the_run_and_keeps_what_was_done(part, tmp_path, small_disk, through_submitit):
    process = through_submitit(ABLATE_STORE=str(small_disk))
    stdout, stderr = process.communicate()
    assert process.returncode == 1, stdout + stderr
    assert "No space left on device" in stdout + stderr
    kept = {path.name for path in (small_disk / "artifacts").iterdir()}
    assert kept
    subprocess.run(["mount", "-o", "remount,size=2g", small_disk], check=True)
    process = through_submitit(ABLATE_STORE=str(small_disk))
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stdout + stderr
    assert not any(f"✓ {name.rpartition('-')[0]} · all arms" in stdout for name in kept if name.startswith("corpus"))
    assert tables(tmp_path) == tables(part)


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
