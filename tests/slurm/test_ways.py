"""The ordinary ways: submit, follow, status, run again, cancel, retry, logs; two people at once."""

import json
import os
import stat
import time

import pytest
from conftest import RAISES, TRAINS

pytestmark = pytest.mark.timeout(1200)
ONE, TWO = 0.25, 0.5
GROUP = 100
ARMS = {
    "one": {"pretrain_videos.p_mean": TRAINS, "pretrain_videos.lr": ONE},
    "two": {"pretrain_videos.p_mean": TRAINS, "pretrain_videos.lr": TWO},
}


def test_a_spec_runs_to_its_report_and_is_then_left_alone(lab, undisturbed):
    lab.write_spec(ARMS, seeds=(0, 1), steps=100)
    said = lab.run()
    assert "submitted 13 jobs in 4 arrays, and a report: 1 corpus, 4 pretrain_videos, 4 sample, 4 score" in said
    again = lab.run()
    assert "were on their way already" in again
    assert "submitted" not in again
    lab.until_empty()
    assert lab.table() == undisturbed(lab)
    assert {row["state"] for row in lab.rows()} == {"done"}
    assert all(lab.trace(row["key"]).count("made") == 1 for row in lab.rows())
    (lab.folder / "results" / "table.md").unlink()
    assert "submitted" not in lab.run()
    assert lab.table() == undisturbed(lab)


def test_wait_follows_to_the_end(lab):
    lab.write_spec({"one": TRAINS, "bad": RAISES}, steps=2)
    said = lab.run("--wait", fails=True)
    assert "✓ pretrain_videos · one" in said
    assert "✗ pretrain_videos · bad: ValueError: this arm cannot be trained" in said
    assert lab.table()["bad 0"] == "missing"


def test_status_cancel_and_going_on(lab):
    lab.write_spec(ARMS, steps=2000)
    lab.run()
    one, two, after = lab.key(lr=ONE), lab.key(lr=TWO), lab.task(lab.key("sample", parent=lab.key(lr=TWO)))
    lab.until(lambda: len(lab.steps(one)) > 15 and (lab.status(two).get("done") or 0) > 10)
    rows = {row["task"]: row for row in lab.rows()}
    running, waiting = rows[lab.task(two)], rows[after]
    assert (running["state"], waiting["state"], waiting["reason"]) == ("running", "queued", "Dependency")
    assert running["node"].startswith("node")
    assert two in running["last_line"]
    assert running["done"] > 10

    assert "3 jobs cancelled" in lab.ablate("cancel", "--arm", "one")
    lab.until(lambda: len(lab.tasks()) == 4)
    rows = {row["key"]: row for row in lab.rows()}
    assert (rows[one]["state"], rows[one]["error"]) == ("failed", "it was cancelled (SLURM: CANCELLED)")
    assert rows[two]["state"] == "running"
    assert "4 jobs cancelled" in lab.ablate("cancel")
    lab.until_empty()
    # the controller has forgotten and sacct does not answer: the log's end has to do
    path = lab.pretend(sacct="sleep 600", squeue='[[ $* == *states=all* ]] && exit 0\nexec $real "$@"')
    rows = {row["key"]: row for row in lab.rows(PATH=path)}
    assert (rows[two]["state"], rows[two]["error"]) == ("failed", "it was cancelled")

    before = len(lab.steps(two))
    assert "submitted 6 jobs in 3 arrays" in lab.run()
    lab.until(lambda: len(lab.steps(two)) > before)
    assert lab.steps(two)[before] == lab.steps(two)[before - 1] + 1  # SIGTERM gave it time to keep its last step


def test_retry_submits_what_failed_and_logs_show_why_without_accounting(lab):
    lab.write_spec({"one": TRAINS, "bad": RAISES}, steps=2)
    with lab.cluster.without_accounting():
        lab.run()
        lab.until_empty()
        assert "this arm cannot be trained" in lab.ablate("logs", "pretrain_videos", "--arm", "bad")
        assert "submitted 3 jobs in 3 arrays" in lab.ablate("retry")
        lab.until_empty()
        assert "nothing has failed" in lab.ablate("retry", "--arm", "one")
        assert [row["error"] for row in lab.rows() if row["runs"] == "bad" and row["error"]] == [
            "ValueError: this arm cannot be trained"
        ]


def test_two_people_share_stages_and_never_collide(lab, undisturbed):
    lab.write_spec(ARMS, steps=60)
    expected = undisturbed(lab)
    three = {**ARMS["two"], "pretrain_videos.lr": 0.125}
    lab.write_spec({"one": ARMS["one"], "three": three}, name="other.yaml", steps=60)
    arguments = ("--cluster", "light.yaml", "--out")
    lab.store.mkdir()
    os.chown(lab.store, -1, GROUP)
    lab.store.chmod(0o2775)
    mask = os.umask(0o002)
    first = lab.start("run", *arguments, "results")
    second = lab.start("run", *arguments, "other", spec="other.yaml")
    for process in (first, second):
        lab.end(process)
    lab.write_spec(ARMS, name="same.yaml", steps=60)
    lab.run(spec="same.yaml", out="same")  # nothing is left to make, but a report of its own
    os.umask(mask)
    submitted = [key for orders in lab.orders() for keys in orders.tasks.values() for key in keys]
    assert sorted(set(submitted)) == sorted(submitted)
    assert sum(key.startswith("score-") for key in submitted) == 3
    lab.until_empty()
    assert lab.table() == expected
    assert (lab.folder / "other" / "table.md").read_text().splitlines()[0].split()[2] == expected["one 0"]
    assert (lab.folder / "same" / "table.md").read_text() == (lab.folder / "results" / "table.md").read_text()
    assert all(trace.read_text().split().count("made") == 1 for trace in (lab.store / "trace").iterdir())
    for path in lab.store.rglob("*"):  # the other may go on with, and clear away, whatever one of them left
        assert path.stat().st_gid == GROUP, path
        copied = lab.store / "code" in path.parents  # snapshots of the code are never written again
        assert copied or path.stat().st_mode & stat.S_IWGRP, path


def test_a_submitter_that_dies_after_sbatch_loses_and_doubles_nothing(lab, undisturbed):
    """Killed by sbatch itself, which has just submitted the second array."""
    lab.write_spec(ARMS, steps=60)
    count = lab.folder / "count"
    path = lab.pretend(
        sbatch=f'[[ $* == *test-only* ]] && exec $real "$@"\n$real "$@"\necho >> {count}\n'
        f"[ $(wc -l < {count}) = 2 ] && kill -9 $PPID\nexit 0"
    )
    process = lab.start("run", "--cluster", "light.yaml", "--out", "results", PATH=path)
    process.communicate()
    assert process.returncode == -9
    assert {stage for stage, *_ in lab.tasks()} <= {"corpus", "pretrain_videos"}
    said = lab.run()
    assert "submitted 4 jobs in 2 arrays" in said
    lab.until_empty()
    assert lab.table() == undisturbed(lab)
    assert all(lab.trace(row["key"]).count("made") == 1 for row in lab.rows())


def timed(call):
    """What a call gives, its seconds by the clock, and those that its processes computed."""
    before, started = os.times(), time.monotonic()
    result = call()
    after, seconds = os.times(), time.monotonic() - started
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return result, seconds, spent


def test_five_hundred_runs_are_a_handful_of_calls(lab, record_property):
    """At most 5 s and 1 s; the clock is only told of, since others may use this machine too."""
    lab.write_spec({f"arm{n}": {"pretrain_videos.p_mean": TRAINS, "pretrain_videos.lr": 0.1 + n} for n in range(5)},
                   seeds=range(100))  # fmt: skip
    lab.write_cluster(all={"partition": "main"}, stages={"corpus": {"time_min": 1}})
    lab.cluster.command("scontrol", "update", "PartitionName=main", "State=DOWN")
    try:
        said, seconds, computed = timed(lab.run)
        record_property("500 runs, 1501 jobs, submitted", f"{seconds:.2f} s, {computed:.2f} s of them computing")
        assert "submitted 1501 jobs in 4 arrays" in said
        assert computed < 5
        rows, seconds, computed = timed(lab.rows)
        record_property("their status", f"{seconds:.2f} s, {computed:.2f} s of them computing")
        assert computed < 1
        assert len(rows) == 1501
        assert {row["state"] for row in rows} == {"queued"}
        scripts = [path for path in (lab.store / "slurm").glob("*/*_submission.sh")]
        assert len(scripts) == 5
        assert any("--array=0-499%256" in path.read_text() for path in scripts)
        assert "1502 jobs cancelled" in lab.ablate("cancel")
        lab.until_empty()
    finally:
        lab.cluster.command("scontrol", "update", "PartitionName=main", "State=UP")


def test_status_does_without_slurm(lab):
    lab.write_spec(ARMS, steps=2)
    lab.run()
    lab.until_empty()
    process = lab.start("status", "--json", SLURM_CONF="/nowhere/slurm.conf")
    stdout, stderr = process.communicate()
    assert process.returncode == 0
    assert {row["state"] for row in json.loads(stdout)} == {"done"}
    assert "SLURM gave no answer" in stderr
