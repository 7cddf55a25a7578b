"""Submitting a graph: what is missing and not yet on its way, once, with a report after it."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ablations.artifacts import Store
from ablations.cluster import SlurmCluster
from ablations.document import Document
from ablations.errors import PlanError
from ablations.job import PACKAGES, versions, write_node
from ablations.plan import Graph
from ablations.slurm.arrays import arrange, dependency
from ablations.slurm.flight import Flight, look
from ablations.slurm.orders import Orders, fresh_name, home
from ablations.slurm.queue import largest_array
from ablations.slurm.snapshot import snapshot
from ablations.slurm.submit import Executor, rehearse, roll_back
from ablations.spec import find
from ablations.stage import compute_words

SUBMISSION = "submission"
LEASE_S = 600.0
"""How long a submitter on another login node is believed to be at work; a submission takes seconds."""


@dataclass(frozen=True)
class Names:
    """The spec (or study), scale and cluster as the user named them, and the folder where results go."""

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


@contextmanager
def alone(store: Store) -> Iterator[Flight]:
    """Hold the only right to submit into a store, and see what is on its way. Others wait, and then find these jobs."""
    store.check_writable()
    if store.claimed(SUBMISSION):
        print("another submission into this store is under way; waiting for it", file=sys.stderr)
    with store.claim(SUBMISSION, lease_s=LEASE_S):
        yield look(store, settle=True)


class Batch:
    """Arrays that one call submits: all of them or, if SLURM refuses one, none."""

    def __init__(self, store: Store, cluster: SlurmCluster, names: Names) -> None:
        self.store, self.cluster, self.names = store, cluster, names
        self.code, self.packages = str(snapshot(store)), versions(PACKAGES)
        self.job_ids: dict[str, str] = {}

    def orders(self, stage: str, tasks: dict[int, list[str]]) -> Orders:
        """Orders for an array of one kind of stage, with the resources that the cluster file gives it."""
        wanted = self.cluster.resources(stage)
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
            snapshot=self.code,
            packages=self.packages,
            compute=compute_words(self.cluster.compute),
        )

    def rehearse(self, orders: Iterable[Orders]) -> None:
        """Have SLURM judge one array of each kind before any is submitted."""
        kinds = {str(sorted(each.resources.items())): each for each in orders}
        for each in kinds.values():
            rehearse(Executor(self.store, each, self.cluster), self.names.cluster)

    def send(self, orders: Orders, after: str | None = None) -> str:
        """Submit one array; returns its id."""
        orders.dependency = after
        orders.write(self.store)
        self.job_ids[orders.name] = Executor(self.store, orders, self.cluster).send()
        return self.job_ids[orders.name]

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Take back what was sent if anything fails before the end."""
        try:
            yield
        except BaseException as error:
            roll_back(self.job_ids, error)
            raise


class SlurmLaunch:
    """Submits a graph. Only one submitter at a time works on a store; the others wait for it and find its jobs."""

    def __init__(self, graph: Graph, store: Store, cluster: SlurmCluster, names: Names, *, report: bool = True) -> None:
        self.graph, self.store, self.cluster, self.names, self.report = graph, store, cluster, names, report
        self.submission = Submission()

    def run(self, wanted: Iterable[str]) -> Submission:
        """Submit the `wanted` stages that are neither made nor on their way. All of them or, if SLURM refuses, none."""
        needed = self.graph.closure(wanted)
        with alone(self.store) as flight:
            unmade = [key for key in self.graph.nodes if key in needed and not self.store.has(key)]
            missing = [key for key in unmade if key not in flight.tasks]
            self.submission.in_flight = sum(key in flight.tasks for key in self.graph.nodes)
            others_alone = self.submission.in_flight and not flight.reports(self.names.spec, self.names.scale)
            if missing or (self.report and others_alone):
                self._submit(missing, flight)
        return self.submission

    def _submit(self, missing: list[str], flight: Flight) -> None:
        arrays = arrange(self.graph, missing, flight.tasks, self.cluster.inline, largest_array())
        for key in missing:
            write_node(self.store, self.graph.nodes[key])
        batch = Batch(self.store, self.cluster, self.names)
        orders = {
            array.name: batch.orders(array.stage, {index: list(chain) for index, chain in array.tasks.items()})
            for array in arrays
        }
        report = [report_of(batch)] if self.report else []
        batch.rehearse([*orders.values(), *report])
        ids, sizes = dict(flight.job_ids), dict(flight.sizes)
        with batch.whole():
            for array in arrays:
                ids[array.name] = batch.send(orders[array.name], dependency(array, ids, sizes))
                sizes[array.name] = len(array.tasks)
                self.submission.stages[array.stage] += len(array.tasks)
            for last in report:
                batch.send(last, f"afterany:{':'.join([*batch.job_ids.values(), *flight.jobs_of(self.graph)])}")
        self.submission.job_ids = batch.job_ids
        if report:
            flight.cancel_reports(self.names.spec, self.names.scale)


def report_of(batch: Batch) -> Orders:
    """Orders for the report that a spec ends with; it is written from copies of the user's own files."""
    report = batch.orders("report", {0: []})
    spec, scale = kept_files(batch.store, report.name, batch.names)
    report.commands = {0: ["report", spec, "--scale", scale, "--out", str(batch.names.out.absolute())]}
    return report


def kept_files(store: Store, name: str, names: Names) -> tuple[str, str]:
    """What the report is written from: spec and scale, the user's own as copies of the files as they are now."""
    spec, scale = keep(store, name, "spec", names.spec), keep(store, name, "scale", names.scale)
    recipe = Path(str(Document(find("specs", names.spec)).data["recipe"]))
    if recipe.suffix in (".yaml", ".yml") and not recipe.is_absolute():
        if ".." in recipe.parts:
            raise PlanError(f"{names.spec}: on a cluster its recipe {recipe} must be in the spec's folder or below it")
        copy = Path(spec).parent / recipe
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(names.spec).parent / recipe, copy)
    return spec, scale


def keep(store: Store, name: str, kind: str, given: str) -> str:
    """A user's own YAML file copied beside an array's orders; packaged names stay as they are."""
    path = Path(given)
    if path.suffix not in (".yaml", ".yml"):
        return given
    folder = home(store, name) / "files" / kind
    folder.mkdir(parents=True, exist_ok=True)
    return str(shutil.copyfile(path, folder / path.name))
