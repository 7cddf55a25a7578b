"""Submitting a graph: what is missing and not yet on its way, once, with a report after it."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ablations.artifacts import Store
from ablations.cluster import Resources, SlurmCluster
from ablations.document import Document
from ablations.errors import PlanError
from ablations.job import PACKAGES, versions, write_node
from ablations.plan import Graph
from ablations.slurm.arrays import Array, arrange, dependency
from ablations.slurm.flight import Flight, look
from ablations.slurm.orders import Orders, fresh_name, home
from ablations.slurm.queue import largest_array
from ablations.slurm.snapshot import snapshot
from ablations.slurm.submit import Executor, rehearse, roll_back
from ablations.spec import find

SUBMISSION = "submission"
LEASE_S = 600.0
"""How long a submitter on another login node is believed to be at work; a submission takes seconds."""


@dataclass(frozen=True)
class Names:
    """The spec, scale and cluster as the user named them, and where the report goes."""

    spec: str
    scale: str
    cluster: str
    out: Path


@dataclass
class Submission:
    """What one call submitted: array ids by name, their stages, and how many stages were on their way before."""

    job_ids: dict[str, str] = field(default_factory=dict)
    stages: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0


class SlurmLaunch:
    """Submits a graph. Only one submitter at a time works on a store; the others wait for it and find its jobs."""

    def __init__(self, graph: Graph, store: Store, cluster: SlurmCluster, names: Names) -> None:
        self.graph, self.store, self.cluster, self.names = graph, store, cluster, names
        self.submission = Submission()

    def run(self, wanted: Iterable[str]) -> Submission:
        """Submit the `wanted` stages that are neither made nor on their way. All of them or, if SLURM refuses, none."""
        if self.store.claimed(SUBMISSION):
            print("another submission into this store is under way; waiting for it", file=sys.stderr)
        needed = self.graph.closure(wanted)
        with self.store.claim(SUBMISSION, lease_s=LEASE_S):
            flight = look(self.store, settle=True)
            unmade = [key for key in self.graph.nodes if key in needed and not self.store.has(key)]
            missing = [key for key in unmade if key not in flight.tasks]
            self.submission.in_flight = sum(key in flight.tasks for key in self.graph.nodes)
            if missing:
                self._submit(missing, flight)
        return self.submission

    def _submit(self, missing: list[str], flight: Flight) -> None:
        arrays = arrange(self.graph, missing, flight.tasks, self.cluster.inline, largest_array())
        for key in missing:
            write_node(self.store, self.graph.nodes[key])
        code, packages = str(snapshot(self.store)), versions(PACKAGES)
        orders = {array.name: self._orders(array, code, packages) for array in arrays}
        report = self._new("report", {0: []}, self.cluster.resources("report"), code, packages)
        self._rehearse([*orders.values(), report])
        report.report = kept_files(self.store, report.name, self.names)
        ids, sizes = dict(flight.job_ids), dict(flight.sizes)
        try:
            for array in arrays:
                self._send(orders[array.name], dependency(array, ids, sizes))
                ids[array.name] = self.submission.job_ids[orders[array.name].name]
                sizes[array.name] = len(array.tasks)
                self.submission.stages[array.stage] += len(array.tasks)
            others = [*self.submission.job_ids.values(), *flight.jobs_of(self.graph)]
            self._send(report, f"afterany:{':'.join(others)}")
        except BaseException as error:
            roll_back(self.submission.job_ids, error)
            raise
        flight.cancel_reports(self.names.spec, self.names.scale)

    def _send(self, orders: Orders, after: str | None) -> None:
        orders.dependency = after
        orders.write(self.store)
        self.submission.job_ids[orders.name] = Executor(self.store, orders, self.cluster).send()

    def _rehearse(self, orders: list[Orders]) -> None:
        """Have SLURM judge one array of each kind before any is submitted."""
        kinds = {str(sorted(each.resources.items())): each for each in orders}
        for each in kinds.values():
            rehearse(Executor(self.store, each, self.cluster), self.names.cluster)

    def _orders(self, array: Array, code: str, packages: dict[str, str]) -> Orders:
        tasks = {index: list(chain) for index, chain in array.tasks.items()}
        return self._new(array.stage, tasks, self.cluster.resources(array.stage), code, packages)

    def _new(
        self, stage: str, tasks: dict[int, list[str]], wanted: Resources, code: str, packages: dict[str, str]
    ) -> Orders:
        return Orders(
            name=fresh_name(self.names.spec, stage),
            spec=self.names.spec,
            scale=self.names.scale,
            cluster=self.names.cluster,
            stage=stage,
            tasks=tasks,
            resources=wanted.model_dump(mode="json"),
            retries=self.cluster.retries.model_dump(),
            gpus=wanted.all_gpus,
            gpu_hours=self.cluster.gpu_hours,
            notice_s=self.cluster.notice_s,
            snapshot=code,
            packages=packages,
        )


def kept_files(store: Store, name: str, names: Names) -> dict[str, str]:
    """What the report is written from: copies of the user's own files, as they are now."""
    folder = home(store, name) / "files"
    folder.mkdir(parents=True)
    own = {"spec": names.spec, "scale": names.scale}
    for role, given in own.items():
        path = Path(given)
        if path.suffix in (".yaml", ".yml"):
            shutil.copyfile(path, folder / path.name)
            own[role] = str(folder / path.name)
    recipe = Path(str(Document(find("specs", names.spec)).data["recipe"]))
    if recipe.suffix in (".yaml", ".yml") and not recipe.is_absolute():
        if ".." in recipe.parts:
            raise PlanError(f"{names.spec}: on a cluster its recipe {recipe} must be in the spec's folder or below it")
        (folder / recipe).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(names.spec).parent / recipe, folder / recipe)
    return {**own, "out": str(names.out.absolute())}
