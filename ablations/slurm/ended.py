"""
What follows a task on its first node: `python -m ablations.slurm.ended STORE NAME CODE`, run by the batch script.

A task that died without a word (killed, out of memory) cannot say so: this does, and puts it back into the queue as
often as the cluster's retries for that kind of end allow.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from ablations.artifacts import Store, node, read_json, write_json
from ablations.failures import KINDS, PREEMPTED, in_words, kind_of_end
from ablations.slurm import attempts
from ablations.slurm.orders import home, log, over, read_orders
from ablations.slurm.queue import QueueError, ask

TAIL = 4000


def main(root: str, name: str, code: int) -> None:
    """Note how the task ended, and requeue it if that is worth a try."""
    store, index = Store(Path(root)), int(os.environ["SLURM_ARRAY_TASK_ID"])
    if code == PREEMPTED or over(home(store, name)):
        return
    if code == 0:
        attempts.end(store, name, index, "done")
        return
    orders, tried = read_orders(store, name), attempts.read(store, name, index)
    last: dict[str, Any] = tried[-1] if tried else {"started": 0.0, "log_bytes": 0}
    kind = told(store, orders.tasks[index], last["started"])
    if kind is None:
        output = log(store, name, os.environ["SLURM_ARRAY_JOB_ID"], index)
        kind = silent_end(store, orders.tasks[index], code, written_since(output, last["log_bytes"]))
    attempts.end(store, name, index, kind)
    if attempts.count(tried, kind) < orders.retries.get(kind, 0):
        try:
            ask("scontrol", "requeue", attempts.task_id(), patience_s=60)
        except QueueError as error:
            print(f"not requeued: {error}", flush=True)


def told(store: Store, keys: list[str], since: float) -> str | None:
    """The kind of failure that a stage itself reported in this attempt."""
    for key in keys:
        status = read_json(store.root / "status" / f"{key}.json", missing={})
        if not store.has(key) and status.get("state") == "failed" and status.get("updated", 0.0) >= since:
            return str(status["kind"])
    return None


def silent_end(store: Store, keys: list[str], code: int, output: str) -> str:
    """Judge an end without a word, and say it in the stage's status."""
    kind = kind_of_end(code, output)
    unmade = next((key for key in keys if not store.has(key)), None)
    if unmade:
        path = store.folder("status") / f"{unmade}.json"
        status = {"spent_s": 0.0, **read_json(path, missing={}), "updated": time.time(), "host": node()}
        index = int(os.environ["SLURM_ARRAY_TASK_ID"])
        place = {"array": os.environ["SLURM_JOB_NAME"], "index": index, "task": attempts.task_id()}
        error = f"{KINDS[kind]} ({in_words(code)})"
        write_json(path, {**status, **place, "state": "failed", "kind": kind, "error": error})
    return kind


def written_since(path: Path, start: int) -> str:
    """What this attempt wrote into the log that all attempts append to; of much only the end."""
    try:
        return path.read_bytes()[start:][-TAIL:].decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
