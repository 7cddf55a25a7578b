"""Failures are told apart, stop only what depends on them, and are named in the report; bad input is refused whole."""

import json
import re

import pytest
from conftest import DIES, ENDLESS, EXITS, FILLS_DISK, GROWS, RAISES, TRAINS

pytestmark = pytest.mark.timeout(1200)


def test_each_kind_is_told_apart_and_one_arm_stops_no_other(lab):
    arms = {
        "fine": TRAINS,
        "raises": RAISES,
        "grows": GROWS,
        "exits": EXITS,
        "dies": DIES,
        "fills": FILLS_DISK,
        "endless": ENDLESS,
    }
    lab.write_cluster(stages={"pretrain_videos": {"time_min": 1}}, notice_s=30, retries={"killed": 1})
    lab.write_spec(arms, steps=5)
    lab.run()
    lab.until_empty()
    errors = {row["runs"]: row["error"] for row in lab.rows() if row["stage"] == "pretrain_videos"}
    assert errors["fine"] is None
    assert errors["raises"] == "ValueError: this arm cannot be trained"
    assert errors["grows"].startswith("it ran out of memory")
    assert errors["exits"] == "its process was killed or exited by itself (exit status 7)"
    assert errors["dies"] == "its process was killed or exited by itself (signal 9)"
    assert errors["fills"] == "OSError: [Errno 28] No space left on device"
    assert errors["endless"].startswith("it ran into its time limit")
    table = lab.table()
    assert table.pop("fine 0") != "missing"
    assert set(table.values()) == {"missing"}


def test_a_node_that_goes_down_costs_a_restart(lab, undisturbed):
    arms = {f"arm{lr}": {"pretrain_videos.p_mean": TRAINS, "pretrain_videos.lr": lr} for lr in (0.25, 0.5)}
    lab.write_spec(arms, steps=240)
    lab.run()
    key = lab.key(lr=0.25)
    lab.until(lambda: len(lab.steps(key)) > 15)
    task, node = lab.task(key), lab.status(key)["host"]
    lab.cluster.crash(node)
    try:
        lab.cluster.command("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        lab.until(lambda: lab.state(task) == "PENDING")
        lab.until_empty()
    finally:
        lab.cluster.start_node(node)
        lab.cluster.until_idle()
    assert len(lab.steps(key)) <= 240 + 10
    assert lab.table() == undisturbed(lab)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"partition": "gpuu"}, ["light.yaml:", "invalid partition", "valid: main, urgent"]),
        ({"account": "nobody"}, ["light.yaml:", "nvalid account", "valid: research, root"]),
        ({"gpus": 9}, ["light.yaml:", "node configuration is not available", "16000 MB, gpu:1"]),
        ({"mem_gb": 4000.0}, ["light.yaml:", "node configuration is not available"]),
    ],
)
def test_what_slurm_refuses_is_refused_whole(lab, wrong, said):
    lab.write_spec({"one": TRAINS, "two": RAISES})
    lab.write_cluster(stages={"sample": wrong})  # the first two arrays would be taken
    words = lab.run(fails=True)
    assert all(part in words for part in said), words
    assert "SLURM refuses sample" in words
    assert lab.tasks() == []


def test_a_plan_over_the_cap_is_refused_and_spending_is_told_beside_it(lab):
    lab.write_spec({"one": TRAINS, "two": RAISES}, core_seconds={"pretrain_videos": 7200})
    lab.write_cluster(stages={"pretrain_videos": {"gpus": 1}}, gpu_hours=3)
    for command in ("plan", "run"):
        words = lab.ablate(command, "--cluster", "light.yaml", fails=True)
        assert "about 4 GPU-hours are over the 3 that the cluster file allows" in words
        assert "most of it is pretrain_videos (2 jobs, 4 GPU-hours)" in words
    assert lab.orders() == []
    lab.write_cluster(stages={"pretrain_videos": {"gpus": 1}}, gpu_hours=5)
    lab.run()
    assert "the cluster file allows 5 GPU-hours" in lab.ablate("status")
    lab.until_empty()
    assert "GPU-hours spent" in lab.ablate("status")
    spent = {row["runs"]: row["gpu_s"] for row in lab.rows() if row["stage"] == "pretrain_videos"}
    assert spent["one"] > 0
    asked = json.loads((lab.store / "asked" / "light-scale.json").read_text())
    assert asked["gpu_hours"] == 4  # the report holds it beside what was spent


def test_a_node_whose_clock_differs_is_named_and_harms_nothing(lab, undisturbed):
    (lab.folder / "clock").mkdir()
    shift = "import time\nreal = time.time\ntime.time = lambda: real() + 90\n"
    (lab.folder / "clock" / "sitecustomize.py").write_text(shift)
    lab.write_cluster(stages={"pretrain_videos": {"setup": [f"export PYTHONPATH={lab.folder}/clock:$PYTHONPATH"]}})
    arms = {f"arm{lr}": {"pretrain_videos.p_mean": TRAINS, "pretrain_videos.lr": lr} for lr in (1, 2)}
    lab.write_spec(arms, steps=300)
    lab.run()
    key = lab.key(lr=1)
    lab.until(lambda: len(lab.steps(key)) > 5)
    assert f"the clock of {lab.status(key)['host']} is +90 s off the file server's" in lab.ablate("status")
    assert 0 <= lab.row(key)["age_s"] < 60
    lab.until_empty()
    assert lab.table() == undisturbed(lab)


def test_a_node_with_other_packages_is_named(lab):
    other = lab.folder / "other" / "torch-0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.1\n")
    lab.write_spec({"one": TRAINS, "two": RAISES})
    lab.write_cluster(stages={"corpus": {"setup": [f"export PYTHONPATH=$PYTHONPATH:{other.parent}"]}})
    lab.run()
    lab.until_empty()
    (row,) = (row for row in lab.rows() if row["stage"] == "corpus")
    assert re.fullmatch(r"node\d: torch is 0\.1, \S+ where the job was submitted", row["error"])
    assert lab.table() == {"one 0": "missing", "two 0": "missing"}


def test_a_store_that_cannot_be_written_is_refused_before_anything_is_submitted(lab):
    lab.write_spec({"one": TRAINS, "two": RAISES})
    words = lab.run(fails=True, ABLATE_STORE="/proc/store")
    assert "the store /proc/store cannot be written" in words
    assert "set ABLATE_STORE to another folder" in words


def test_a_node_without_the_packages_is_named(lab):
    lab.write_spec({"one": TRAINS, "two": RAISES})
    lab.write_cluster(python="/usr/bin/python3")
    lab.run()
    lab.until_empty()
    (row,) = (row for row in lab.rows() if row["stage"] == "corpus")
    assert row["error"] == "the node's packages are not those of the submission (exit status 1)"
    assert "No module named" in next((lab.store / "slurm").glob("*corpus*/*_log.out")).read_text()


def test_no_sbatch_is_said_plainly(lab):
    lab.write_spec({"one": TRAINS, "two": RAISES})
    assert "there is no scontrol on this machine" in lab.run(fails=True, PATH="/nowhere")
