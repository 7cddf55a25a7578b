"""What was asked of SLURM, kept in the store: written before sbatch, so that no job exists whose orders are unknown.

`slurm/NAME/` holds `orders.json` (what each task makes, with which resources, code and environment), `job` (the array's
id, written after sbatch; without it the queue is searched for NAME), the sbatch script, logs and attempts.
"""

import getpass
import os
import platform
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ablations.artifacts import Store, read_json, write_json


@dataclass
class Orders:
    """
    One array. `tasks` maps an index to the keys made there, `commands` to the words of an `ablate` command that is run
    instead. `gpus` are those of one task's whole job, `gpu_hours` is the cap on the whole spec; `compute` is for the
    jobs' environment.
    """

    name: str
    spec: str
    scale: str
    cluster: str
    stage: str
    tasks: dict[int, list[str]]
    resources: dict[str, Any]
    retries: dict[str, int]
    gpus: int
    gpu_hours: float | None
    notice_s: int
    snapshot: str
    packages: dict[str, str]
    compute: str = "{}"
    dependency: str | None = None
    commands: dict[int, list[str]] = field(default_factory=dict)
    user: str = field(default_factory=getpass.getuser)
    host: str = field(default_factory=platform.node)
    submitted: float = field(default_factory=time.time)

    def write(self, store: Store) -> None:
        """Keep the orders, for the tasks to read and for whoever looks later."""
        folder = home(store, self.name)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "orders.json", asdict(self))


def home(store: Store, name: str) -> Path:
    """The folder of one array."""
    return store.folder("slurm") / name


def fresh_name(spec: str, stage: str) -> str:
    """A name that no other array has, telling a reader of squeue what it is."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", Path(spec).stem)
    return f"ablate.{plain}.{stage}.{uuid.uuid4().hex[:8]}"


def read_orders(store: Store, name: str) -> Orders:
    """The orders of one array."""
    facts = read_json(home(store, name) / "orders.json")
    by_index = {what: {int(index): words for index, words in facts[what].items()} for what in ("tasks", "commands")}
    return Orders(**{**facts, **by_index})


def all_orders(store: Store) -> list[Orders]:
    """Orders of every array that may still be in the queue, oldest first."""
    names = [path.parent.name for path in (store.root / "slurm").glob("*/orders.json") if not over(path.parent)]
    return sorted((read_orders(store, name) for name in names), key=lambda orders: (orders.submitted, orders.name))


def over(folder: Path) -> bool:
    """Whether an array was seen to have left the queue for good."""
    return (folder / "over").exists()


def close(store: Store, names: Iterable[str]) -> None:
    """Remember that these arrays have left the queue."""
    for name in names:
        (home(store, name) / "over").touch()


def note_job(store: Store, name: str, job_id: str) -> None:
    """Remember the id that SLURM gave an array."""
    beside = home(store, name) / f".job.{os.getpid()}"
    beside.write_text(job_id)
    beside.replace(home(store, name) / "job")


def job_of(store: Store, name: str) -> str | None:
    """The id of an array, if it was written down before its submitter died."""
    path = home(store, name) / "job"
    return path.read_text() if path.exists() else None


def log(store: Store, name: str, job_id: str, index: int, rank: int = 0) -> Path:
    """Where a task's output goes: appended to over all its attempts."""
    return home(store, name) / f"{job_id}_{index}_{rank}_log.out"
