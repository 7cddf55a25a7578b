"""The commands over one spec: run, plan, status, report."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from ablations import launch
from ablations.artifacts import Store, read_json, read_mapping, write_json
from ablations.budget import Prices, missing_nodes, show_budget
from ablations.cluster import SlurmCluster, check_processes, load_cluster
from ablations.console import console, tell
from ablations.errors import AblateError, PlanError, RunError, nearest
from ablations.launch import Outcome
from ablations.outside import taken_out
from ablations.plan import Graph, check_folders, check_weights, plan, source_digest
from ablations.spec import Spec, load, taken
from ablations.stages import STAGES
from ablations.status import LiveView, Row, as_json, duration, standing, summary, table

if TYPE_CHECKING:
    from ablations.report.findings import Findings
    from ablations.search.study import Study

RESULTS = Path("results")


def run_spec(name: str, scale: str, cluster_name: str, out: Path | None, wait: bool = False) -> int:
    """
    Make every stage that is missing, then the report. Returns the exit status: 1 if anything failed.

    On SLURM that is submitted, and waited for only if `wait`.
    """
    spec = load(name, scale)
    if spec.plan_only:
        raise PlanError(f"nothing runs at scale {spec.scale}: {spec.plan_only}")
    cluster, folder = load_cluster(cluster_name), results_folder(spec, out)
    graph = plan(spec)
    check_weights(graph)
    check_folders(graph)
    check_processes(cluster_name, cluster, graph.nodes.values())
    store, outcome = Store(), Outcome()
    store.check_writable()
    tell(spec.name, "bold", f" at scale {spec.scale}: {spec.question}")
    for line in changed_settings(spec, graph, store):
        console.print(f"  changed since the last run: {line}")
    launch.sweep(graph, store, outcome)
    for key, damage in outcome.rebuilt.items():
        tell("damaged artifact discarded, it will be made again", "yellow", f": {key}: {damage}")
    remember(spec, graph, store)
    note_asked(spec, store, {"spec": name, "scale": scale, "cluster": cluster_name}, folder)
    if isinstance(cluster, SlurmCluster):
        from ablations.slurm.commands import run_on_cluster

        return run_on_cluster(spec, graph, store, cluster, wait)
    missing = len(graph.nodes) - len(outcome.reused)
    expected = expected_cost(spec, graph, store, cluster.cores)
    console.print(f"{missing} stages to run, {len(outcome.reused)} to reuse; {expected}")
    cores = 1 if spec.in_process else cluster.cores
    with LiveView(graph, store, spec.core_seconds, cores, console) as view:
        if spec.in_process:
            launch.run_here(graph, store, outcome, view, cluster.compute)
        else:
            launch.LocalLaunch(graph, store, cluster, spec.core_seconds, outcome).run(view)
        view.finish()
    tell_failures(outcome)
    try:
        console.print(f"report: {write_results(name, scale, out)}")
    except RunError as error:  # nothing at all was scored
        console.print(str(error))
    return 1 if outcome.failed else 0


def tell_failures(outcome: Outcome) -> None:
    """Say which stages failed, why, which log to read, and what could not start."""
    for key, (reason, log) in outcome.failed.items():
        tell("failed", "red", f" {key}: {reason}\n  log: {log}")
    if outcome.blocked:
        stages = Counter(key.rpartition("-")[0] for key in outcome.blocked)
        words = ", ".join(f"{count} {stage}" for stage, count in stages.items())
        tell("not started, for what they need is missing", "yellow", f": {words}")
    if outcome.failed:
        console.print("All finished stages are kept; the same command tries the failed ones again.")


def expected_cost(spec: Spec, graph: Graph, store: Store, cores: int) -> str:
    """The cost of the missing stages in words, and how many of them nothing measured tells of."""
    missing = missing_nodes(graph, store)
    unknown = sum(node.stage not in spec.core_seconds for node in missing)
    if unknown == len(missing):
        return "cost unknown, nothing was measured at this scale" if missing else "nothing to make"
    seconds = Prices(spec.core_seconds, spec.base).total(missing, graph)
    beside = f", beside {unknown} stages of unknown cost" if unknown else ""
    return f"about {duration(seconds)} of core time, {duration(seconds / cores)} on {cores} cores{beside}"


def show_plan(name: str, scale: str, cluster_name: str) -> None:
    """Print what a run would make and reuse, what it would cost, and what changed since the last one."""
    spec = load(name, scale)
    cluster = load_cluster(cluster_name)
    graph, store = plan(spec), Store()
    check_folders(graph)
    check_processes(cluster_name, cluster, graph.nodes.values())
    grid = Table(
        "stage", "to run", "to reuse", "core-seconds each", "note", box=None, header_style="bold", pad_edge=False
    )
    stale = False
    for stage in dict.fromkeys(node.stage for node in graph.nodes.values()):
        keys = [key for key, node in graph.nodes.items() if node.stage == stage]
        reuse = [key for key in keys if store.has(key)]
        source = source_digest(stage)
        other = any(store.manifest(key)["source"] != source for key in reuse)
        stale = stale or other
        price = spec.core_seconds.get(stage)
        cost = "unknown" if price is None else f"{price:g}"
        grid.add_row(stage, str(len(keys) - len(reuse)), str(len(reuse)), cost, "other code" if other else "")
    tell(spec.name, "bold", f" at scale {spec.scale}: {spec.question}")
    console.print(grid)
    if stale:
        console.print("other code: made by other code than today's; raise the stage's version if results change")
    if spec.plan_only:
        console.print(f"only to be planned: {spec.plan_only}")
    for line in changed_settings(spec, graph, store):
        console.print(f"changed since the last run: {line}")
    if isinstance(cluster, SlurmCluster):
        show_budget(spec, graph, store, cluster)
        check_weights(graph)
        return
    expected = expected_cost(spec, graph, store, cluster.cores)
    console.print(f"{len(spec.arms)} arms × {len(spec.seeds)} seeds; {expected}")
    check_weights(graph)


def show_status(name: str | None, scale: str, as_json_text: bool, watch_s: float | None = None) -> None:
    """Print where each stage stands, of one spec or of all in the store; every `watch_s` seconds if given."""
    while True:
        store, found = Store(), {}
        for each, at in [(name, scale)] if name else asked_for(store):
            title = f"{Path(each).stem} at scale {Path(at).stem}"
            try:
                found[title] = rows_of(plan(load(each, at)), store)
            except AblateError as error:
                if name:
                    raise
                print(f"{title}: {error}", file=sys.stderr)  # a file that was moved; the others stand
                continue
            if not as_json_text:
                console.print(table(found[title]))
                console.print(summary(title, found[title]))
        if as_json_text:
            whole = {title: as_json(rows) for title, rows in found.items()}
            print(json.dumps(next(iter(whole.values())) if name else whole, indent=1))
        if watch_s is None:
            return
        time.sleep(watch_s)
        if console.is_terminal:
            console.clear()


def rows_of(graph: Graph, store: Store) -> list[Row]:
    """Where each stage of a graph stands, beside SLURM's queue if the store was ever submitted from."""
    rows = standing(graph, store)
    if (store.root / "slurm").exists():
        from ablations.slurm.standing import beside_queue

        rows, notes = beside_queue(rows, store)
        for note in notes:
            print(note, file=sys.stderr)
    return rows


def remember(spec: Spec, graph: Graph, store: Store) -> None:
    """Keep this plan's settings, so that the next one can say what changed."""
    write_json(store.folder("plans") / f"{spec.name}-{spec.scale}.json", flat_settings(graph))


def note_asked(spec: Spec, store: Store, words: Mapping[str, str], out: Path) -> None:
    """Keep how a spec was asked for, the user's own files by absolute paths: status, cancel and retry go by it."""
    own = {word: str(Path(name).absolute()) for word, name in words.items() if name.endswith((".yaml", ".yml"))}
    path = store.folder("asked") / f"{spec.name}-{spec.scale}.json"
    write_json(path, {**read_mapping(path), **words, **own, "out": str(out.absolute())})


def asked_for(store: Store) -> list[tuple[str, str]]:
    """Every spec and scale that was run into a store."""
    asked = [read_mapping(path) for path in sorted((store.root / "asked").glob("[!.]*.json"))]
    return [(entry["spec"], entry["scale"]) for entry in asked if {"spec", "scale"} <= entry.keys()]


def changed_settings(spec: Spec, graph: Graph, store: Store) -> list[str]:
    """Settings that differ from the last run of this spec at this scale, defaults included: `place: old → new`."""
    before = read_mapping(store.root / "plans" / f"{spec.name}-{spec.scale}.json")
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
            node = graph.nodes[key]
            for setting, value in node.settings.items():
                flat[f"{arm}/{role}.{setting}"] = value
            for setting, digest in taken_out(node.settings, STAGES[node.stage].outside)[1].items():
                flat[f"{arm}/{role}.{setting}, its content"] = digest[:12]
    return flat


def write_results(
    name: str, scale: str, out: Path | None, arms: tuple[str, ...] = (), metrics: tuple[str, ...] = ()
) -> Path:
    """Write the report from what the store holds; returns the page. `arms` and `metrics`: these only, if any."""
    from ablations.report.build import write_report
    from ablations.report.collect import check_begun

    spec = load(name, scale)
    if out is None and (arms or metrics):
        raise AblateError("a report of some arms or metrics needs --out: it must not replace the whole one")
    folder = results_folder(spec, out)
    findings = found(spec, arms, metrics)
    if all(run.missing for run in findings.result.runs) and has_scores(folder):
        raise RunError(f"no run of {spec.name} is scored in {Store().root}; the report in {folder} is left as it is")
    check_begun(findings.whole, Store(), name, scale)
    page = write_report(findings, folder)
    refresh_overview(folder)
    return page


def refresh_overview(folder: Path) -> None:
    """Write the table of all results again, if a report's folder is one of them."""
    if RESULTS.resolve() in folder.resolve().parents:
        from ablations.overview import write_overview

        write_overview()


def has_scores(folder: Path) -> bool:
    """Whether the report in a folder is of at least one run that was scored."""
    from ablations.report.build import SUMMARY

    told = read_json(folder / SUMMARY, missing={})
    return bool(told) and told["missing"] < len(told["arms"]) * len(told["seeds"])


def results_folder(asked: "Spec | Study", out: Path | None) -> Path:
    """Where tables and plots go: `results/NAME`, at other scales than laptop `results/SCALE/NAME`.

    Those of the smoke scale go to a folder of the store. Raises PlanError where they cannot, or must not, be written.
    """
    if out is None and asked.in_process:
        return Store().root / "results" / f"{asked.name}-{asked.scale}"
    for path in (asked.path, asked.scale_path):
        if out is None and (whose := taken(path)):
            raise PlanError(f"{RESULTS / path.stem} is where {whose} has its results: rename {path}, or give --out")
    folder = out or RESULTS / ("" if asked.scale == "laptop" else asked.scale) / asked.name
    check_writable(folder)
    return folder


def check_writable(folder: Path) -> None:
    """Raise PlanError unless a folder is there, or can be made, and can be written into."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise PlanError(f"{folder} cannot be written: {there} is {'read-only' if there.is_dir() else 'no folder'}")


def found(spec: Spec, arms: tuple[str, ...], metrics: tuple[str, ...]) -> "Findings":
    """The findings on a spec, of all or some of its arms and metrics."""
    from ablations.report.collect import collect
    from ablations.report.findings import Findings

    for kind, names, known in (("arm", arms, list(spec.arms)), ("metric", metrics, list(spec.metrics))):
        for wrong in (name for name in names if name not in known):
            raise AblateError(f"{spec.name} has no {kind} {wrong!r}; {nearest(wrong, known)}")
    whole = collect(spec, plan(spec), Store())
    return Findings(whole.narrowed(arms or tuple(spec.arms), metrics or spec.metrics), whole)


def table_text(name: str, scale: str, format_name: str, arms: tuple[str, ...], metrics: tuple[str, ...]) -> str:
    """The report's table alone, in one format."""
    from ablations.report.collect import check_begun
    from ablations.report.formats import as_text
    from ablations.report.tables import build_table

    findings = found(load(name, scale), arms, metrics)
    check_begun(findings.whole, Store(), name, scale)
    return as_text(build_table(findings), format_name)
