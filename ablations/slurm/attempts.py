"""What each task of an array tells of its attempts: where it ran, when, and how each ended."""

import os
import time
from pathlib import Path
from typing import Any

from ablations.artifacts import Store, node, read_json, write_json
from ablations.slurm.orders import home, log

CLOCKS_AGREE_S = 5.0


def path(store: Store, name: str, index: int) -> Path:
    """The file of one task."""
    return home(store, name) / f"attempts.{index}.json"


def read(store: Store, name: str, index: int) -> list[dict[str, Any]]:
    """A task's attempts, oldest first. `end` is absent while one runs, and where the node took its word with it."""
    attempts: list[dict[str, Any]] = read_json(path(store, name, index), missing=[])
    return attempts


def begin(store: Store, name: str, index: int) -> None:
    """Note that an attempt starts here and now."""
    attempts = read(store, name, index)
    output = log(store, name, os.environ["SLURM_ARRAY_JOB_ID"], index)
    attempts.append(
        {
            "task": task_id(),
            "node": node(),
            "restart": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
            "started": time.time(),
            "clock_s": clock_error(store),
            "log_bytes": output.stat().st_size if output.exists() else 0,
        }
    )
    write_json(path(store, name, index), attempts)


def end(store: Store, name: str, index: int, kind: str) -> None:
    """Note how the attempt ended: a kind of failure, `preempted`, or `done`."""
    attempts = read(store, name, index)
    if attempts:
        attempts[-1] |= {"ended": time.time(), "end": kind}
        write_json(path(store, name, index), attempts)


def count(attempts: list[dict[str, Any]], kind: str) -> int:
    """How many attempts ended so."""
    return sum(attempt.get("end") == kind for attempt in attempts)


def task_id() -> str:
    """This task as scontrol knows it. Requeued by the job's number alone, its siblings would be requeued too."""
    return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"


def clock_error(store: Store) -> float:
    """Seconds by which this node's clock is ahead of the file server's, which stamps new files."""
    probe = store.folder("slurm") / f".clock.{node()}.{os.getpid()}"
    probe.touch()
    try:
        return round(time.time() - probe.stat().st_mtime, 3)
    finally:
        probe.unlink()
