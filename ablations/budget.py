"""What a plan would cost on a cluster: GPU-hours by stage, from measured times, else from counted FLOPs."""

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

from rich.table import Table

from ablations.artifacts import MANIFEST, Store
from ablations.cluster import SlurmCluster
from ablations.console import console
from ablations.errors import PlanError, RunError
from ablations.plan import Graph, usual
from ablations.recipe import AnyRecipe
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


def missing_nodes(graph: Graph, store: Store) -> list[Node]:
    """Stages that are not in the store."""
    return [node for key, node in graph.nodes.items() if not store.has(key)]


def estimate(
    seconds: Mapping[str, float], base: AnyRecipe, graph: Graph, store: Store, cluster: SlurmCluster
) -> list[Cost]:
    """
    Expected GPU-hours by kind of stage, for the stages that are missing. Kinds without GPUs cost none.

    `seconds` are the scale's core-seconds by kind of stage, for a run of `base`.
    """
    costs, prices = [], Prices(seconds, base)
    absent = missing_nodes(graph, store)
    for stage in dict.fromkeys(node.stage for node in graph.nodes.values()):
        missing = [node for node in absent if node.stage == stage]
        gpus = cluster.resources(stage).all_gpus
        if missing and gpus:
            costs.append(cost_of(stage, missing, gpus, prices, graph, store, cluster))
    return costs


def cost_of(
    stage: str,
    missing: list[Node],
    gpus: int,
    prices: "Prices",
    graph: Graph,
    store: Store,
    cluster: SlurmCluster,
) -> Cost:
    """One kind of stage: by what a unit of its work took here before, else by the scale's figures, else by FLOPs."""
    rates = {} if stage in UNLIKE else gpu_rates(stage, store)
    facts_of = graph_facts(graph)
    sizes = {node.key: size_of(node.key, facts_of) for node in missing} if rates else {}
    if rates and rates.keys() >= set(sizes.values()):
        work = sum(units(key, facts_of) * rates[size] for key, size in sizes.items())
        return Cost(stage, len(missing), work / SECONDS_PER_HOUR, "measured in this store")
    if stage in prices.seconds:
        hours = prices.total(missing, graph) * gpus / SECONDS_PER_HOUR
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


class Prices:
    """Core-seconds of stages: the scale's for a run of `base`, times how much more work a stage is than there."""

    def __init__(self, seconds: Mapping[str, float], base: AnyRecipe) -> None:
        self.seconds = seconds
        self.usual: dict[tuple[str, str], float] = {}
        graph = usual(base)
        facts_of = graph_facts(graph)
        for key, node in graph.nodes.items():
            place = node.stage, size_of(key, facts_of)
            self.usual[place] = max(self.usual.get(place, 0.0), units(key, facts_of))

    def of(self, node: Node, graph: Graph) -> float:
        """Of a stage whose kind has a price. Other sizes than the usual one count as much work as that."""
        facts_of = graph_facts(graph)
        alike = 0.0 if node.stage in UNLIKE else self.usual.get((node.stage, size_of(node.key, facts_of)), 0.0)
        return self.seconds[node.stage] * (units(node.key, facts_of) / alike if alike else 1.0)

    def total(self, nodes: Iterable[Node], graph: Graph) -> float:
        """Of all these stages whose kinds have a price."""
        return sum(self.of(node, graph) for node in nodes if node.stage in self.seconds)


SIZES = ("network", "frames", "resolution", "patch", "channels", "precision", "steps", "encoder", "metrics")


def size_of(key: str, facts_of: FactsOf) -> str:
    """What a unit of a stage's work costs by: sizes of the stage and of all it is made from, as text to compare."""
    found: dict[str, Any] = {}
    queue, seen = [key], {key}
    while queue:
        stage, settings, parents = facts_of(queue.pop())
        found |= {f"{stage}.{name}": settings[name] for name in SIZES if name in settings}
        queue += [parent for parent in parents.values() if parent not in seen]
        seen |= {*parents.values()}
    return json.dumps(found, sort_keys=True)


def gpu_rates(stage: str, store: Store) -> dict[str, float]:
    """Median GPU-seconds that a unit of a stage's work took, by its size, in artifacts that were made on GPUs.

    Artifacts are passed over whose own size cannot be told, since what they were made from is gone or damaged.
    """
    rates: dict[str, list[float]] = {}
    facts_of = artifact_facts(store)
    for path in (store.root / "artifacts").glob(f"{stage}-*/{MANIFEST}"):
        key = path.parent.name
        with contextlib.suppress(OSError, RunError):
            if taken := store.manifest(key).get("accelerator_seconds"):
                rates.setdefault(size_of(key, facts_of), []).append(taken / units(key, facts_of))
    return {size: median(found) for size, found in rates.items()}


def check_cap(costs: Sequence[Cost], cluster: SlurmCluster) -> None:
    """Refuse a plan over the cluster's cap. Stages of unknown cost are named, not guessed."""
    total = sum(cost.gpu_hours or 0.0 for cost in costs)
    if cluster.gpu_hours is not None and total > cluster.gpu_hours:
        worst = max(costs, key=lambda cost: cost.gpu_hours or 0.0)
        raise PlanError(
            f"about {total:,.3g} GPU-hours are over the {cluster.gpu_hours:g} that the cluster file allows "
            f"(`gpu_hours`); most of it is {worst.stage} ({worst.jobs} jobs, {worst.gpu_hours:,.3g} GPU-hours)"
        )


def show_budget(spec: Spec, graph: Graph, store: Store, cluster: SlurmCluster) -> None:
    """Print the GPU-hours that a run is expected to take, by stage, and refuse a plan over the cluster's cap."""
    costs = estimate(spec.core_seconds, spec.base, graph, store, cluster)
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
