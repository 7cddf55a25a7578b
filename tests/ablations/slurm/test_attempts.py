import time

from ablations.artifacts import Store
from ablations.slurm import attempts


def test_attempts_add_up_and_a_wrong_clock_is_noted(tmp_path, monkeypatch):
    store, now = Store(tmp_path), time.time()
    (store.folder("slurm") / "name").mkdir()
    for variable, value in (("SLURM_ARRAY_JOB_ID", "7"), ("SLURM_ARRAY_TASK_ID", "3"), ("SLURMD_NODENAME", "node5")):
        monkeypatch.setenv(variable, value)
    attempts.begin(store, "name", 3)
    attempts.end(store, "name", 3, "killed")
    monkeypatch.setattr("time.time", lambda: now + 100)
    attempts.begin(store, "name", 3)
    first, second = attempts.read(store, "name", 3)
    assert (first["task"], first["node"], first["end"]) == ("7_3", "node5", "killed")
    assert abs(first["clock_s"]) < attempts.CLOCKS_AGREE_S < second["clock_s"]
    assert "end" not in second
    assert attempts.count([first, second], "killed") == 1
