"""The commands over one spec: run, plan, status, report."""

import json
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ablations import launch
from ablations.artifacts import Store, read_json, write_json
from ablations.launch import Outcome
from ablations.plan import Graph, check_weights, plan, source_digest
from ablations.spec import Spec, load
from ablations.status import LiveView, as_json, duration, standing, table

console = Console(soft_wrap=True)


def run_spec(name: str, scale: str, cluster_name: str, out: Path | None) -> int:
    """Make every stage that is missing, then the report. Returns the exit status: 1 if anything failed."""
    spec = load(name, scale)
    cluster = launch.load_cluster(cluster_name)
    graph = plan(spec)
    check_weights(graph)
    store, outcome = Store(), Outcome()
    console.print(f"[bold]{spec.name}[/] at scale {spec.scale}: {spec.question}", highlight=False)
    for line in changed_settings(spec, graph, store):
        console.print(f"  changed since the last run: {line}", highlight=False)
    launch.sweep(graph, store, outcome)
    for key, damage in outcome.rebuilt.items():
        console.print(f"[yellow]damaged artifact discarded, it will be made again[/]: {key}: {damage}", highlight=False)
    missing = len(graph.nodes) - len(outcome.reused)
    expected = expected_seconds(spec, graph, store) / cluster.cores
    console.print(
        f"{missing} stages to run, {len(outcome.reused)} to reuse; about {duration(expected)}", highlight=False
    )
    remember(spec, graph, store)
    cores = 1 if spec.in_process else cluster.cores
    with LiveView(graph, store, spec.core_seconds, cores, console) as view:
        if spec.in_process:
            launch.run_here(graph, store, outcome, view)
        else:
            launch.LocalLaunch(graph, store, cluster, spec.core_seconds, outcome).run(view)
        view.finish()
    tell_failures(outcome)
    page = write_results(name, scale, out)
    console.print(f"report: {page}", highlight=False)
    return 1 if outcome.failed else 0


def tell_failures(outcome: Outcome) -> None:
    """Say which stages failed, why, which log to read, and what could not start."""
    for key, (reason, log) in outcome.failed.items():
        console.print(f"[red]failed[/] {key}: {reason}\n  log: {log}", highlight=False)
    if outcome.blocked:
        stages = Counter(key.rpartition("-")[0] for key in outcome.blocked)
        words = ", ".join(f"{count} {stage}" for stage, count in stages.items())
        console.print(f"[yellow]not started, for what they need is missing[/]: {words}", highlight=False)
    if outcome.failed:
        console.print("All finished stages are kept; the same command tries the failed ones again.")


def expected_seconds(spec: Spec, graph: Graph, store: Store) -> float:
    """Core-seconds that the missing stages are expected to take, from the scale's measured costs."""
    missing = (node.stage for key, node in graph.nodes.items() if not store.has(key))
    return sum(spec.core_seconds.get(stage, 0.0) for stage in missing)


def show_plan(name: str, scale: str, cluster_name: str) -> None:
    """Print what a run would make and reuse, what it would cost, and what changed since the last one."""
    spec = load(name, scale)
    cluster = launch.load_cluster(cluster_name)
    graph, store = plan(spec), Store()
    grid = Table(
        "stage", "to run", "to reuse", "core-seconds each", "note", box=None, header_style="bold", pad_edge=False
    )
    for stage in dict.fromkeys(node.stage for node in graph.nodes.values()):
        keys = [key for key, node in graph.nodes.items() if node.stage == stage]
        reuse = [key for key in keys if store.has(key)]
        source = source_digest(stage)
        stale = any(store.manifest(key)["source"] != source for key in reuse)
        note = "made by other code than today's; raise the stage's version if results change" if stale else ""
        cost = spec.core_seconds.get(stage)
        grid.add_row(
            stage, str(len(keys) - len(reuse)), str(len(reuse)), "unknown" if cost is None else f"{cost:g}", note
        )
    console.print(f"[bold]{spec.name}[/] at scale {spec.scale}: {spec.question}", highlight=False)
    console.print(grid)
    for line in changed_settings(spec, graph, store):
        console.print(f"changed since the last run: {line}", highlight=False)
    seconds = expected_seconds(spec, graph, store)
    console.print(
        f"{len(spec.arms)} arms × {len(spec.seeds)} seeds; about {duration(seconds)} of core time, "
        f"{duration(seconds / cluster.cores)} on {cluster.cores} cores",
        highlight=False,
    )
    check_weights(graph)


def show_status(name: str, scale: str, as_json_text: bool) -> None:
    """Print where each stage stands."""
    rows = standing(plan(load(name, scale)), Store())
    if as_json_text:
        print(json.dumps(as_json(rows), indent=1))
    else:
        console.print(table(rows))


def remember(spec: Spec, graph: Graph, store: Store) -> None:
    """Keep this plan's settings, so that the next one can say what changed."""
    write_json(store.folder("plans") / f"{spec.name}-{spec.scale}.json", flat_settings(graph))


def changed_settings(spec: Spec, graph: Graph, store: Store) -> list[str]:
    """Settings that differ from the last run of this spec at this scale, defaults included: `place: old → new`."""
    before = read_json(store.root / "plans" / f"{spec.name}-{spec.scale}.json", missing={})
    after = flat_settings(graph)
    common = [place for place in after if place in before and before[place] != after[place]]
    changes = dict.fromkeys(f"{p.split('/', 1)[1]}: {before[p]!r} → {after[p]!r}" for p in common)
    return list(changes)


def flat_settings(graph: Graph) -> dict[str, object]:
    """Every setting of every run by `arm/role.setting`, for the first seed."""
    flat: dict[str, object] = {}
    for (arm, seed), roles in graph.runs.items():
        if seed != min(s for _, s in graph.runs):
            continue
        for role, key in roles.items():
            for setting, value in graph.nodes[key].settings.items():
                flat[f"{arm}/{role}.{setting}"] = value
    return flat


def write_results(name: str, scale: str, out: Path | None) -> Path:
    """Write the report from what the store holds; returns the page."""
    from ablations.report.build import write_report
    from ablations.report.collect import collect

    spec, store = load(name, scale), Store()
    small = spec.in_process
    folder = out or (store.folder("results") / f"{spec.name}-{spec.scale}" if small else Path("results") / spec.name)
    page = write_report(collect(spec, plan(spec), store), folder)
    if folder.parent == Path("results"):
        from ablations.overview import write_overview

        write_overview()
    return page
