"""What is on its way: the store's orders, seen beside SLURM's queue."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from ablations.artifacts import Store
from ablations.plan import Graph
from ablations.slurm.arrays import Task
from ablations.slurm.orders import Orders, all_orders, close, job_of, note_job
from ablations.slurm.queue import Queued, ask, queued

UNSURE_S = 5.0
"""A submitter that died may leave an sbatch behind that reaches the controller a moment later."""
HOPELESS = "DependencyNeverSatisfied"


@dataclass
class Flight:
    """Arrays with a task in the queue, by name: their orders, ids, numbers of tasks; and every such task."""

    orders: dict[str, Orders] = field(default_factory=dict)
    job_ids: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    queue: dict[Task, Queued] = field(default_factory=dict)

    def of(self, keys: Iterable[str]) -> dict[str, Queued]:
        """The queue's entries for stages, by key; inline stages are not among them."""
        return {key: self.queue[self.tasks[key]] for key in keys if key in self.tasks}

    def jobs_of(self, graph: Graph) -> list[str]:
        """Ids of the arrays that make stages of a graph."""
        return sorted({self.job_ids[task.array] for key, task in self.tasks.items() if key in graph.nodes})

    def reports(self, spec: str, scale: str) -> list[str]:
        """Ids of the reports that wait for a spec."""
        return self.jobs_for("report", spec, scale)

    def jobs_for(self, stage: str, spec: str, scale: str) -> list[str]:
        """Ids of the arrays of one kind that were submitted for a spec."""
        wanted = (stage, spec, scale)
        same = (name for name, each in self.orders.items() if (each.stage, each.spec, each.scale) == wanted)
        return [self.job_ids[name] for name in same]

    def cancel_reports(self, spec: str, scale: str) -> None:
        """Withdraw reports that a newer one makes needless."""
        ids = self.reports(spec, scale)
        if ids:
            ask("scancel", "--state=PENDING", *ids)


def look(store: Store, *, settle: bool = False) -> Flight:
    """
    Match orders with the queue. Raises QueueError if SLURM gives no answer.

    A submitter that died between sbatch and its own notes is found by the array's name. With `settle` (which takes the
    right to submit) arrays that have left the queue are closed, and never started any more should they turn up late.
    """
    orders = {each.name: each for each in all_orders(store)}
    unnoted = [each for name, each in orders.items() if job_of(store, name) is None]
    if settle and unnoted:
        time.sleep(max(0.0, min(UNSURE_S, max(each.submitted for each in unnoted) + UNSURE_S - time.time())))
    flight = Flight()
    for entry in queued(orders):
        if entry.reason != HOPELESS:
            _enter(flight, orders[entry.name], entry)
    if settle:
        for name, job_id in flight.job_ids.items():
            if job_of(store, name) is None:
                note_job(store, name, job_id)
        close(store, orders.keys() - flight.orders.keys())
    return flight


def _enter(flight: Flight, orders: Orders, entry: Queued) -> None:
    task = Task(orders.name, entry.index)
    flight.orders[orders.name] = orders
    flight.job_ids[orders.name] = entry.array
    flight.sizes[orders.name] = len(orders.tasks)
    flight.queue[task] = entry
    chain = orders.tasks[entry.index]
    if chain:
        flight.tasks[chain[-1]] = task
