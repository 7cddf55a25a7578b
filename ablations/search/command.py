"""`ablate search`: the shared stages, the trials, the winner's retraining, and the report."""

from collections.abc import Callable
from pathlib import Path

import optuna

from ablations import launch
from ablations.artifacts import Store
from ablations.budget import estimate
from ablations.cluster import LocalCluster, SlurmCluster, check_processes, load_cluster
from ablations.console import console, tell
from ablations.errors import AblateError, PlanError, RunError
from ablations.launch import Outcome
from ablations.plan import Graph, check_weights
from ablations.run import refresh_overview, results_folder, run_spec
from ablations.search.candidate import Candidate
from ablations.search.controller import Controller
from ablations.search.feasible import check_constraint
from ablations.search.journal import journal_path, open_journal
from ablations.search.preference import preferred, rate, write_axis
from ablations.search.study import Study, load
from ablations.search.winner import WINNER, winner, write_final_spec
from ablations.slurm.commands import make_on_cluster
from ablations.slurm.launch import Names
from ablations.status import LiveView

CHEAP = ("subset", "score_subset")
"""Stages that take milliseconds: the controller makes them itself."""


def run_search(name: str, scale: str, cluster_name: str, trials: int | None, fork: bool, out: Path | None) -> int:
    """Run a study until its budget is spent, then retrain the winner and write the report. Returns the exit status."""
    study, store = load(name, scale), Store()
    if study.plan_only:
        raise PlanError(f"nothing runs at scale {study.scale}: {study.plan_only}")
    cluster, folder = load_cluster(cluster_name), results_folder(study, out)
    if study.by_preference:
        if trials or fork:
            raise AblateError("a study by preference tries every level once: it has no --trials and no --fork")
        return run_by_preference(study, store, cluster_name, folder)
    first = Candidate.of(study, study.file.incumbent)
    whole = first.part(first.keys(-1), "incumbent")
    check_weights(whole)
    check_processes(cluster_name, cluster, whole.nodes.values())
    key = f"study-{study.name}-{study.scale}"
    if store.claimed(key):
        raise AblateError(f"another process runs the study {study.name!r} in {store.root}; a study has one controller")
    with store.claim(key):
        journal = open_journal(study, store, fork=fork)
        tell(journal.study_name, "bold", f" at scale {study.scale}: {study.file.question}")
        console.print(f"journal: {journal_path(study, store)}")
        make = maker(study, store, cluster, Names(name, scale, cluster_name, folder))
        make_shared(study, first, store, make)
        check_constraint(study, first, store)
        Controller(study, journal, store, make, console.print).run(trials or study.file.trials)
        return conclude(study, journal, store, cluster_name, folder)


def maker(study: Study, store: Store, cluster: LocalCluster | SlurmCluster, names: Names) -> Callable[[Graph], Outcome]:
    """What makes a graph's missing stages: SLURM, or here at smoke scale this process, else the launcher."""

    def make(graph: Graph) -> Outcome:
        outcome = Outcome()
        missing = [node.stage for key, node in graph.nodes.items() if not store.has(key)]
        in_process = study.in_process and isinstance(cluster, LocalCluster)
        if in_process or all(stage in CHEAP for stage in missing):
            launch.run_here(graph, store, outcome, lambda: None, cluster.compute)
        elif isinstance(cluster, SlurmCluster):
            costs = estimate(study.core_seconds, study.recipe(study.file.incumbent, "incumbent"), graph, store, cluster)
            outcome = make_on_cluster(graph, store, cluster, names, costs)
        else:
            with LiveView(graph, store, study.core_seconds, cluster.cores, console) as view:
                launch.LocalLaunch(graph, store, cluster, study.core_seconds, outcome).run(view)
                view.finish()
        return outcome

    return make


def make_shared(study: Study, first: Candidate, store: Store, make: Callable[[Graph], Outcome]) -> None:
    """Make what every trial needs and is not there, or not whole. If that fails every trial would: nothing is asked."""
    needed = first.keys(-1) + (first.subset_keys() if study.file.kept_share else [])
    shared = set(first.part(needed, "all trials").nodes)
    for name, parameter in study.file.parameters.items():
        for end in parameter.ends:
            shared &= Candidate.of(study, {**study.file.incumbent, name: end}).graph.nodes.keys()
    graph, swept = first.part(list(shared), "all trials"), Outcome()
    launch.sweep(graph, store, swept)
    for key, damage in swept.rebuilt.items():
        tell("damaged artifact discarded, it will be made again", "yellow", f": {key}: {damage}")
    outcome = make(graph)
    if outcome.failed:
        key, (reason, log) = next(iter(outcome.failed.items()))
        raise RunError(f"{key}, which every trial needs, failed: {reason} (log: {log})")


def conclude(study: Study, journal: optuna.Study, store: Store, cluster_name: str, folder: Path) -> int:
    """Retrain the winner and write the report; 1 if nothing was found or the retraining failed."""
    from ablations.search.report import write_search_report

    found = winner(study, journal)
    final = write_final_spec(study, found.params, f"trial {found.number}", folder) if found else None
    status = int(found is None)
    if final:
        status = run_spec(str(final), study.asked_scale, cluster_name, folder / WINNER, wait=True)
    page = write_search_report(study, journal, store, folder, final)
    if found is None:
        tell("nothing was found", "red", ": no trial met the constraint and has a value")
    refresh_overview(folder)
    console.print(f"report: {page}")
    return status


def run_by_preference(study: Study, store: Store, cluster_name: str, folder: Path) -> int:
    """Train every level of every parameter, rate them by the votes there are, retrain what they prefer, and report."""
    from ablations.search.preference_report import write_preference_report

    axes = [write_axis(study, parameter, folder) for parameter in study.file.parameters]
    for axis in axes:
        beside = store.root / "results" / f"{axis.spec.stem}-{study.scale}"
        if run_spec(str(axis.spec), study.asked_scale, cluster_name, beside, wait=True):
            return 1
    ratings = [rate(study, axis, store) for axis in axes]
    for rated in ratings:
        if rated.lacking:
            at = "" if study.scale == "laptop" else f" --scale {study.asked_scale}"
            console.print(f"{rated.lacking}: ablate vote {rated.axis.spec}{at}")
    point = preferred(study, ratings)
    final = write_final_spec(study, point, "what raters preferred", folder) if point else None
    status = run_spec(str(final), study.asked_scale, cluster_name, folder / WINNER, wait=True) if final else 0
    page = write_preference_report(study, store, ratings, folder, final)
    refresh_overview(folder)
    console.print(f"report: {page}")
    return status
