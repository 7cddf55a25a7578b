"""Where stages stand on a cluster: the store's own status files first, SLURM's queue beside them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablations.artifacts import Store, read_json
from ablations.failures import KINDS, kind_of_end
from ablations.slurm import attempts
from ablations.slurm.attempts import CLOCKS_AGREE_S
from ablations.slurm.flight import Flight, look
from ablations.slurm.orders import home, log
from ablations.slurm.queue import Queued, QueueError, ended
from ablations.status import Row

ASKED_AT_MOST = 20
"""Ends that SLURM is asked about one by one; the rest are told by their logs alone."""
TAIL = 2000


def beside_queue(rows: Sequence[Row], store: Store) -> tuple[list[Row], list[str]]:
    """Rows with their jobs, and what a reader should know: SLURM silent, clocks that differ, the cap on GPU-hours."""
    notes: list[str] = []
    try:
        flight = look(store)
    except QueueError as error:
        flight = None
        notes.append(f"SLURM gave no answer ({error}); this is what the jobs themselves last said")
    asked = iter(range(ASKED_AT_MOST))
    beside_jobs = [row if row.state == "done" else beside(row, store, flight, asked, notes) for row in rows]
    caps = {orders.gpu_hours for orders in flight.orders.values()} if flight else set()
    notes += [f"the cluster file allows {cap:g} GPU-hours" for cap in caps if cap is not None]
    return beside_jobs, list(dict.fromkeys(notes))


def beside(row: Row, store: Store, flight: Flight | None, asked: Iterator[int], notes: list[str]) -> Row:
    """One unfinished stage, its own account held beside the queue."""
    status = read_json(store.root / "status" / f"{row.key}.json", missing={})
    entry, end = flight.of([row.key]).get(row.key) if flight else None, ""
    if "array" in status:
        tried = attempts.read(store, status["array"], status["index"])
        if tried and abs(tried[-1]["clock_s"]) > CLOCKS_AGREE_S:
            notes.append(f"the clock of {tried[-1]['node']} is {tried[-1]['clock_s']:+.0f} s off the file server's")
        output = log(store, status["array"], status["task"].partition("_")[0], status["index"])
        end = tail(output)
        row = replace(row, node=status["host"], age_s=time.time() - status["updated"], last_line=last_line(end))
    if entry:
        return in_queue(row, entry, store, status)
    if row.state in ("interrupted", "preempted") and flight and "array" in status:
        state = ended(status["task"]) if next(asked, None) is not None else ""
        return replace(row, state="failed", error=how_it_ended(end, state))
    return row


def in_queue(row: Row, entry: Queued, store: Store, status: dict[str, Any]) -> Row:
    """A stage whose job is queued or runs."""
    if entry.state != "PENDING":
        return replace(row, state="running", task=entry.id, node=entry.node, age_s=entry.seconds, error=None)
    restarted = status.get("array") == entry.name and bool(attempts.read(store, entry.name, entry.index))
    submitted = (home(store, entry.name) / "orders.json").stat().st_mtime
    state, age = "preempted" if restarted else "queued", time.time() - submitted
    return replace(row, state=state, task=entry.id, node=None, age_s=age, reason=entry.reason, error=None)


def how_it_ended(output: str, state: str) -> str:
    """Why a stage's job left the queue without a word: by its log's end and by SLURM's word for it, if it has one."""
    return KINDS[kind_of_end(0, output, state)] + (f" (SLURM: {state})" if state else "")


def tail(path: Path) -> str:
    """The end of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def last_line(text: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
