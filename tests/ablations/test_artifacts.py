import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablations.artifacts import MANIFEST, Store, alive, process_start, write_json


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def finished(store, key="stage-1", text="hello"):
    (store.work(key) / "sub").mkdir(exist_ok=True)
    (store.work(key) / "sub" / "a.txt").write_text(text)
    store.finish(key, {"seconds": 1.0})
    return store.artifact(key)


def test_only_a_manifest_makes_an_artifact(store):
    folder = finished(store)
    assert store.has("stage-1")
    assert not (store.root / "work" / "stage-1").exists()
    assert json.loads((folder / MANIFEST).read_text())["files"]["sub/a.txt"]["size"] == 5
    (folder / MANIFEST).unlink()
    assert not store.has("stage-1")
    finished(store, text="again")
    assert (folder / "sub" / "a.txt").read_text() == "again"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: (f / "sub" / "a.txt").write_text("hellO"), "has changed"),
        (lambda f: (f / "sub" / "a.txt").write_text("hell"), "4 bytes instead of 5"),
        (lambda f: (f / "sub" / "a.txt").unlink(), "missing"),
        (lambda f: (f / MANIFEST).write_text("{"), "cannot be read"),
        (lambda f: (f / MANIFEST).write_text("{}"), "cannot be read"),
    ],
)
def test_damage_is_found(store, harm, words):
    folder = finished(store)
    assert store.damage("stage-1") is None
    harm(folder)
    assert words in store.damage("stage-1")
    store.discard("stage-1")
    assert not folder.exists()


def count_alone(root, key, log):
    store = Store(root)
    with store.claim(key, poll_s=0.01):
        with Path(log).open("a") as file:
            file.write("in\n")
        time.sleep(0.02)
        with Path(log).open("a") as file:
            file.write("out\n")


def test_claims_exclude_each_other(store, tmp_path):
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=count_alone, args=(store.root, "stage-1", log)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert log.read_text() == "in\nout\n" * 6
    assert list((store.root / "claims").iterdir()) == []


def test_a_dead_process_holds_no_claim(store):
    code = "\n".join(
        [
            "from pathlib import Path",
            "from ablations.artifacts import Store",
            f"with Store(Path({str(store.root)!r})).claim('k'):",
            "    print(1, flush=True)",
            "    input()",
        ]
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert store.claimed("k")
        assert store.claimed_among({"k", "other"}) == {"k"}
        assert store.claimed_among({"other"}) == set()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not store.claimed("k")
    with store.claim("k"):
        assert store.claimed("k")
        assert store.claimed_among({"k", "other"}) == {"k"}
        assert store.claimed_among({"other"}) == set()
    assert list((store.root / "claims").iterdir()) == []


def test_a_reused_pid_is_not_the_claimant():
    start = process_start(os.getpid())
    assert alive({"host": os.uname().nodename, "pid": os.getpid(), "started": start})
    assert not alive({"host": os.uname().nodename, "pid": os.getpid(), "started": start - 1})


def test_another_hosts_claim_is_believed_as_long_as_its_job_runs(tmp_path, monkeypatch):
    running = {"77"}
    monkeypatch.setattr("ablations.slurm.queue.lives", lambda job: job in running)
    claim = {"host": "node9", "pid": 1, "started": 2, "job": "77"}
    assert alive(claim)
    assert alive({**claim, "job": None})
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert not alive(claim)  # our own job's last attempt
    monkeypatch.delenv("SLURM_JOB_ID")
    running.clear()
    assert not alive(claim)


def test_a_lease_ends_by_the_file_servers_clock(tmp_path):
    store = Store(tmp_path)
    folder = store.folder("claims")
    path = folder / "submission.4.json"
    write_json(path, {"host": "elsewhere", "pid": 1, "started": 2, "job": None})
    os.utime(path, (time.time() - 700, time.time() - 700))
    with store.claim("submission", lease_s=600.0) as number:
        assert number == 5
        assert not store.outnumbered("submission", 5)
        write_json(folder / "submission.6.json", {"host": "elsewhere", "pid": 1, "started": 2, "job": None})
        assert store.outnumbered("submission", 5)
    assert store.claimed("submission"), "a successor's claim outlives its predecessor's end"
