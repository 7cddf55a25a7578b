"""What a plan would cost on a cluster: GPU-hours by stage, from measured times, else from counted FLOPs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from ablations.artifacts import MANIFEST, Store
from ablations.cluster import SlurmCluster
from ablations.errors import PlanError
from ablations.plan import Graph
from ablations.spec import Spec
from ablations.stage import Node

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Cost:
    """GPU-hours of a spec's missing stages of one kind; null if nothing tells. `source` says what told."""

    stage: str
    jobs: int
    gpu_hours: float | None
    source: str


def estimate(seconds: Mapping[str, float], graph: Graph, store: Store, cluster: SlurmCluster) -> list[Cost]:
    """
    Expected GPU-hours by kind of stage, for the stages that are missing. Kinds without GPUs cost none.

    `seconds` are the scale's core-seconds by kind of stage.
    """
    costs = []
    for stage in dict.fromkeys(node.stage for node in graph.nodes.values()):
        missing = [node for key, node in graph.nodes.items() if node.stage == stage and not store.has(key)]
        gpus = cluster.resources(stage).all_gpus
        if missing and gpus:
            costs.append(cost_of(stage, missing, gpus, seconds, graph, store, cluster))
    return costs


def cost_of(
    stage: str,
    missing: list[Node],
    gpus: int,
    seconds: Mapping[str, float],
    graph: Graph,
    store: Store,
    cluster: SlurmCluster,
) -> Cost:
    """One kind of stage: by what a unit of its work took here before, else by the scale's figures, else by FLOPs."""
    rates = {} if stage in UNLIKE else gpu_rates(stage, store)
    sizes = [size_of(node.key, graph_facts(graph)) for node in missing]
    if all(size in rates for size in sizes):
        work = sum(units(node.key, graph_facts(graph)) * rates[size] for node, size in zip(missing, sizes, strict=True))
        return Cost(stage, len(missing), work / SECONDS_PER_HOUR, "measured in this store")
    if stage in seconds:
        hours = sum(shares(missing, graph)) * seconds[stage] * gpus / SECONDS_PER_HOUR
        return Cost(stage, len(missing), hours, "the scale's core-seconds")
    if cluster.tflops is not None:
        from ablations.flops import counted

        flops = [counted(node, graph) for node in missing]
        known = [each for each in flops if each is not None]
        if len(known) == len(flops):
            hours = sum(known) / (cluster.tflops * 1e12) / SECONDS_PER_HOUR
            return Cost(stage, len(missing), hours, f"FLOPs at {cluster.tflops:g} TFLOP/s a GPU")
    return Cost(stage, len(missing), None, "nothing yet")


UNLIKE = ("train_phase", "sample_held_out")
"""Stages of one kind whose units cost differently: an image of one phase says nothing of a clip of another."""


Facts = tuple[str, Mapping[str, Any], Mapping[str, str]]
"""A stage's kind, its settings, and its parents' keys by role."""
FactsOf = Callable[[str], Facts]


def graph_facts(graph: Graph) -> FactsOf:
    """Facts of a planned stage."""

    def of(key: str) -> Facts:
        node = graph.nodes[key]
        return node.stage, node.settings, node.parents

    return of


def artifact_facts(store: Store) -> FactsOf:
    """Facts of a finished stage."""

    @cache
    def of(key: str) -> Facts:
        facts = store.manifest(key)
        return facts["stage"], facts["settings"], facts["parents"]

    return of


def units(key: str, facts_of: FactsOf) -> float:
    """How much work a stage is: samples to train on, clips to make; 1 where settings do not say.

    A training that goes on from `previous` has only the rest to do.
    """
    _, settings, parents = facts_of(key)
    done = facts_of(parents["previous"])[1]["samples"] if "previous" in parents else 0
    for name in ("samples", "clips", "images", "sources"):
        if isinstance(settings.get(name), int):
            return float(settings[name] - done)
    return 1.0


def shares(nodes: Sequence[Node], graph: Graph) -> list[float]:
    """The work of each stage as a multiple of the first run's stage of that kind; 1 where that cannot be told."""
    facts_of, usual = graph_facts(graph), dict[str, float]()
    for key in graph.closure(next(iter(graph.runs.values()), {}).values()):
        stage = graph.nodes[key].stage
        usual[stage] = max(usual.get(stage, 0.0), units(key, facts_of))
    alike = (node.stage not in UNLIKE and bool(usual.get(node.stage)) for node in nodes)
    return [units(n.key, facts_of) / usual[n.stage] if yes else 1.0 for n, yes in zip(nodes, alike, strict=True)]


SIZES = ("network", "frames", "resolution", "patch", "channels", "precision", "steps")


def size_of(key: str, facts_of: FactsOf) -> str:
    """What a unit of a stage's work costs by: sizes of the stage and of all it is made from, as text to compare."""
    found: dict[str, Any] = {}
    queue = [key]
    while queue:
        stage, settings, parents = facts_of(queue.pop())
        found |= {f"{stage}.{name}": settings[name] for name in SIZES if name in settings}
        queue += parents.values()
    return json.dumps(found, sort_keys=True)


def gpu_rates(stage: str, store: Store) -> dict[str, float]:
    """Median GPU-seconds that a unit of a stage's work took, by its size, in artifacts that were made on GPUs."""
    rates: dict[str, list[float]] = {}
    facts_of = artifact_facts(store)
    for path in (store.root / "artifacts").glob(f"{stage}-*/{MANIFEST}"):
        key = path.parent.name
        if (taken := store.manifest(key).get("accelerator_seconds")) and ancestors_present(key, facts_of, store):
            rates.setdefault(size_of(key, facts_of), []).append(taken / units(key, facts_of))
    return {size: median(found) for size, found in rates.items()}


def ancestors_present(key: str, facts_of: FactsOf, store: Store) -> bool:
    """Whether all that an artifact was made from is still there to tell its size."""
    return all(store.has(parent) and ancestors_present(parent, facts_of, store) for parent in facts_of(key)[2].values())


def check_cap(costs: Sequence[Cost], cluster: SlurmCluster) -> None:
    """Refuse a plan over the cluster's cap. Stages of unknown cost are named, not guessed."""
    total = sum(cost.gpu_hours or 0.0 for cost in costs)
    if cluster.gpu_hours is not None and total > cluster.gpu_hours:
        worst = max(costs, key=lambda cost: cost.gpu_hours or 0.0)
        raise PlanError(
            f"about {total:,.3g} GPU-hours are over the {cluster.gpu_hours:g} that the cluster file allows "
            f"(`gpu_hours`); most of it is {worst.stage} ({worst.jobs} jobs, {worst.gpu_hours:,.3g} GPU-hours)"
        )


def show_budget(spec: Spec, graph: Graph, store: Store, cluster: SlurmCluster, console: Console) -> None:
    """Print the GPU-hours that a run is expected to take, by stage, and refuse a plan over the cluster's cap."""
    costs = estimate(spec.core_seconds, graph, store, cluster)
    grid = Table("stage", "jobs", "GPU-hours", "known from", box=None, header_style="bold", pad_edge=False)
    for cost in costs:
        hours = "unknown" if cost.gpu_hours is None else f"{cost.gpu_hours:,.3g}"
        grid.add_row(cost.stage, str(cost.jobs), hours, cost.source)
    console.print(grid)
    total = sum(cost.gpu_hours or 0.0 for cost in costs)
    unknown = ", beside what is unknown" if any(cost.gpu_hours is None for cost in costs) else ""
    cap = "" if cluster.gpu_hours is None else f" of {cluster.gpu_hours:g} allowed"
    console.print(f"{len(spec.arms)} arms × {len(spec.seeds)} seeds; {total:,.3g} GPU-hours{unknown}{cap}")
    check_cap(costs, cluster)
