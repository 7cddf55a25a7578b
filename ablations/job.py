"""What happens inside a worker: stages are made one after another, each into the store."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

from ablations.artifacts import Store, read_json, write_json
from ablations.errors import PlanError, RunError
from ablations.failures import kind_of
from ablations.outside import folder_digest, folders
from ablations.plan import fingerprint, source_digest
from ablations.stage import TRAINED, Node, compute_settings
from ablations.stages import STAGES
from svd_core.progress import Progress
from svd_core.training.interruption import Interrupted

PACKAGES = (
    "torch",
    "diffusers",
    "numpy",
    "scipy",
    "av",
    "opencv-python-headless",
    "onnxruntime",
    "polars",
)
REVISION = "REVISION"
"""File beside a copy of the code that says which commit it was."""
REPORT_EVERY_S = 0.5
LONGEST_ERROR = 300
NICE = 5
"""Stages that use every core yield to those of one core: they take whatever is left, while a one-core stage on the
longest path (Stage I) cannot make up for lost time."""


def run_stages(root: Path, keys: list[str], polite: bool, gpu: str) -> None:
    """Make these stages in order, on a GPU if one is named. The payload of a submitit job, which hides all GPUs."""
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ["ABLATE_GPU"] = gpu
    if polite:
        os.nice(NICE)
    for key in keys:
        make(Store(root), key)


def make(store: Store, key: str, begin: Callable[[], None] = lambda: None) -> None:
    """
    Make one artifact, unless it is there: continue its work folder, then digest and rename it whole.

    Any exception is kept in the stage's status, with the work done so far, before it goes on to the caller. `begin` is
    called just before the work, if there is any.
    """
    if store.has(key):
        return
    with store.claim(key) as number:
        if store.has(key):
            return
        node = read_node(store, key)
        report = StatusFile(store, key)
        try:
            if missing := [parent for parent in node.parents.values() if not store.has(parent)]:
                raise RunError(f"{key} needs {', '.join(missing)}, which are not in {store.root}")
            begin()
            report.write("running")
            perform(store, node, report)
        except Interrupted:
            report.write("preempted")
            raise
        except BaseException as error:
            report.failed(error)
            raise
        if store.outnumbered(key, number):
            raise RunError(f"{key}: another process took this stage over, believing this one dead; it is left to it")
        store.finish(key, facts(node, report))
        report.write("done")


def perform(store: Store, node: Node, report: Progress) -> None:
    """Call the stage's function with one thread per process: more were measured to be slower, and not repeatable."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
    stage = STAGES[node.stage]
    check_outside(store, node)
    settings = get_type_hints(stage.run)["settings"].model_validate_json(json.dumps(dict(node.settings)))
    inputs = {role: store.artifact(parent) for role, parent in node.parents.items()}
    stage.run(settings, inputs, store.work(node.key), report)
    check_outside(store, node)


def check_outside(store: Store, node: Node) -> None:
    """Raise RunError if a folder of the user's is not what it was when this stage was planned, or its view made."""
    folder_digest.cache_clear()
    for said in (changed(asdict(node)), *(outdated(store, parent) for parent in node.parents.values())):
        if said:
            raise RunError(f"{node.key}: {said}; the same command plans anew")


def outdated(store: Store, key: str) -> str | None:
    """What is wrong with the folder that an artifact is a view of; None for what is no view."""
    return changed(store.manifest(key)) if key.startswith("curated-") else None


def changed(facts: Mapping[str, Any]) -> str | None:
    """Whether folders that a stage reads are not what its fingerprint says."""
    stage, settings = facts["stage"], facts["settings"]
    if not STAGES[stage].outside:
        return None
    try:
        same = fingerprint(stage, settings, facts["parents"]) == facts["fingerprint"]
    except PlanError as error:
        return str(error)
    named = ", ".join(holder[leaf] for holder, leaf, _ in folders(dict(settings), STAGES[stage].outside))
    return None if same else f"{named} has changed since"


class StatusFile:
    """A stage's own account of itself in `status/KEY.json`, replaced whole at each report. Called as a Progress."""

    def __init__(self, store: Store, key: str) -> None:
        self.path = store.folder("status") / f"{key}.json"
        before = read_json(self.path, missing={})
        self.spent_before = 0.0 if before.get("state") == "done" else float(before.get("spent_s", 0.0))
        self.started = time.time()
        self.first: tuple[float, int] | None = None
        self.last = 0.0
        self.facts: dict[str, Any] = {}

    def __call__(self, done: int, total: int, **figures: float) -> None:
        now = time.time()
        if self.first is None:
            self.first = (now, done)
        if now - self.last >= REPORT_EVERY_S or done == total:
            seconds, units = now - self.first[0], done - self.first[1]
            rate = units / seconds if seconds > 0 and units > 0 else None
            self.facts = {"done": done, "total": total, "rate": rate, "figures": figures}
            self.write("running")

    @property
    def spent_s(self) -> float:
        """Seconds spent on the stage, interrupted attempts included."""
        return self.spent_before + time.time() - self.started

    def write(self, state: str, **more: Any) -> None:
        """Replace the file. A status that cannot be written must not stop the work it tells of."""
        self.last = time.time()
        facts = {
            "state": state,
            "pid": os.getpid(),
            "host": os.environ.get("SLURMD_NODENAME", platform.node()),
            "updated": self.last,
            "spent_s": self.spent_s,
            **place(),
        }
        try:
            write_json(self.path, {**facts, **self.facts, **more})
        except OSError as error:
            print(f"status not written: {error}", file=sys.stderr)

    def failed(self, error: BaseException) -> None:
        """Keep what went wrong, in one line here and in full in the log."""
        traceback.print_exc()
        line = traceback.format_exception_only(error)[-1].strip().partition("\n")[0]
        self.write("failed", error=line[:LONGEST_ERROR], kind=kind_of(error))


def place() -> dict[str, Any]:
    """On SLURM the array, task and GPUs that a stage runs with, for whoever looks for its log or its price."""
    if "SLURM_ARRAY_JOB_ID" not in os.environ:
        return {}
    index = int(os.environ["SLURM_ARRAY_TASK_ID"])
    task = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{index}"
    return {"array": os.environ["SLURM_JOB_NAME"], "index": index, "task": task, "gpus": accelerators()}


def facts(node: Node, report: StatusFile) -> dict[str, Any]:
    """What a manifest tells of how an artifact came to be."""
    return {
        "stage": node.stage,
        "version": STAGES[node.stage].version,
        "fingerprint": node.fingerprint,
        "settings": dict(node.settings),
        "parents": dict(node.parents),
        "source": source_digest(node.stage),
        "code": code_revision(),
        "packages": versions(PACKAGES),
        "machine": machine(),
        "seconds": round(report.spent_s, 3),
        "accelerator_seconds": round(report.spent_s * accelerators(), 3),
        **({"compute": computed_with(node.stage)} if node.stage in TRAINED else {}),
    }


def computed_with(stage: str) -> dict[str, Any]:
    """On how many processes a training ran and what its cluster file said, which rounding depends on."""
    return {"processes": int(os.environ.get("WORLD_SIZE", "1")), **compute_settings(stage).model_dump(mode="json")}


def accelerators() -> int:
    """GPUs that this stage's job holds on SLURM; 0 elsewhere, where several jobs share one and none knows its part."""
    if "SLURM_ARRAY_JOB_ID" not in os.environ:
        return 0
    return int(os.environ.get("SLURM_GPUS_ON_NODE", "0")) * int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))


def code_revision() -> str:
    """The commit the code stands at, marked if files differ from it; the package version outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    kept = Path(__file__).parents[1] / REVISION
    if kept.exists():
        return kept.read_text()
    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "..", ":!../results")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "version " + importlib.metadata.version("svd-ablations")


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions of packages."""
    return {name: importlib.metadata.version(name) for name in packages}


def machine() -> dict[str, Any]:
    """The machine's kind: enough to judge a timing or a last-bit difference by."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    facts = {"cpu": model, "cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
    return {**facts, **({"gpu": card} if (card := gpu()) else {})}


def gpu() -> str | None:
    """The GPU that this stage could use; none if it did not even load PyTorch."""
    if "torch" not in sys.modules:
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def write_node(store: Store, node: Node) -> None:
    """Describe a stage in the store, so that a worker needs only its key."""
    path = store.folder("nodes") / f"{node.key}.json"
    facts = {"stage": node.stage, "settings": dict(node.settings), "parents": dict(node.parents)}
    if read_json(path, missing={}) != facts:  # a folder of the user's may lie elsewhere than before
        write_json(path, facts)


def read_node(store: Store, key: str) -> Node:
    """The stage that `write_node` described."""
    data = read_json(store.folder("nodes") / f"{key}.json")
    return Node(data["stage"], data["settings"], data["parents"], key.rpartition("-")[2])
