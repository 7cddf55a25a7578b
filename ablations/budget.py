"""What a plan would cost on a cluster: GPU-hours by stage, from measured times, else from counted FLOPs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from ablations.artifacts import Store, read_json
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
    measured = None if stage in UNLIKE else gpu_seconds_per_unit(stage, store)
    if measured is not None:
        work = sum(units(node) for node in missing)
        return Cost(stage, len(missing), work * measured / SECONDS_PER_HOUR, "measured in this store")
    if stage in seconds:
        hours = len(missing) * seconds[stage] * gpus / SECONDS_PER_HOUR
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


def units(node: Node) -> float:
    """How much work a stage is: samples to train on, clips to make; 1 where settings do not say."""
    for name in ("samples", "clips", "images", "sources"):
        if isinstance(node.settings.get(name), int):
            return float(node.settings[name])
    return 1.0


def gpu_seconds_per_unit(stage: str, store: Store) -> float | None:
    """Median GPU-seconds that a unit of a stage's work took in artifacts of this store that were made on GPUs."""
    rates = []
    for path in (store.root / "artifacts").glob(f"{stage}-*/manifest.json"):
        facts = read_json(path)
        if facts.get("accelerator_seconds"):
            node = Node(stage, facts["settings"], facts["parents"], facts["fingerprint"])
            rates.append(facts["accelerator_seconds"] / units(node))
    return median(rates) if rates else None


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
    console.print(
        f"{len(spec.arms)} arms × {len(spec.seeds)} seeds; {total:,.3g} GPU-hours{unknown}{cap}", highlight=False
    )
    check_cap(costs, cluster)
