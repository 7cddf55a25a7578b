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

TAIL = 2000


def beside_queue(rows: Sequence[Row], store: Store) -> tuple[list[Row], list[str]]:
    """Rows with their jobs, and what a reader should know: SLURM silent, clocks that differ, the cap on GPU-hours."""
    notes: list[str] = []
    try:
        flight = look(store)
    except QueueError as error:
        flight = None
        notes.append(f"SLURM gave no answer ({error}); this is what the jobs themselves last said")
    beside_jobs = [row if row.state == "done" else beside(row, store, flight, notes) for row in rows]
    if flight:
        beside_jobs = tell_ends(beside_jobs, store, flight)
        notes += submitted(rows, flight)
    return beside_jobs, list(dict.fromkeys(notes))


def submitted(rows: Sequence[Row], flight: Flight) -> Iterator[str]:
    """The cap that these rows' jobs were submitted under, and jobs of the store that make no stages."""
    for task in (flight.tasks[row.key] for row in rows if row.key in flight.tasks):
        cap = flight.orders[task.array].gpu_hours
        if cap is not None:
            yield f"the cluster file allows {cap:g} GPU-hours"
    for name, orders in flight.orders.items():
        if orders.commands and orders.stage != "report":
            yield f"{orders.stage} of {orders.spec}: job {flight.job_ids[name]} is in the queue"


def beside(row: Row, store: Store, flight: Flight | None, notes: list[str]) -> Row:
    """One unfinished stage, its own account held beside the queue."""
    path = store.root / "status" / f"{row.key}.json"
    status = read_json(path, missing={})
    entry = flight.of([row.key]).get(row.key) if flight else None
    if "array" in status:
        tried = attempts.read(store, status["array"], status["index"])
        if tried and abs(tried[-1]["clock_s"]) > CLOCKS_AGREE_S:
            notes.append(f"the clock of {tried[-1]['node']} is {tried[-1]['clock_s']:+.0f} s off the file server's")
        age, line = time.time() - path.stat().st_mtime, last_line(output_of(status, store))
        row = replace(row, node=status["host"], age_s=max(0.0, age), last_line=line)
    return in_queue(row, entry, store, status) if entry else row


def tell_ends(rows: list[Row], store: Store, flight: Flight) -> list[Row]:
    """Rows whose jobs left the queue without a word, as failed: by their logs' ends and SLURM's word, if it has one."""
    gone: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.state in ("interrupted", "preempted") and row.key not in flight.tasks:
            status = read_json(store.root / "status" / f"{row.key}.json", missing={})
            gone |= {row.key: status} if "array" in status else {}
    states = ended({status["task"]: status["array"] for status in gone.values()}) if gone else {}

    def told(row: Row) -> Row:
        state = states.get(gone[row.key]["task"], "")
        return replace(row, state="failed", error=how_it_ended(output_of(gone[row.key], store), state))

    return [told(row) if row.key in gone else row for row in rows]


def output_of(status: dict[str, Any], store: Store) -> str:
    """The end of the log of the job that last worked on a stage."""
    return tail(log_at(status, store))


def log_at(status: dict[str, Any], store: Store) -> Path:
    """The log of the job that last worked on a stage, by its status."""
    return log(store, status["array"], status["task"].partition("_")[0], status["index"])


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
