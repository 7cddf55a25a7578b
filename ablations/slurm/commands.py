"""`ablate run`, `cancel`, `retry` and `logs` on a cluster."""

import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ablations.artifacts import Store, read_json, read_mapping, write_json
from ablations.budget import Cost, check_cap, estimate
from ablations.cluster import SlurmCluster, load_cluster
from ablations.console import console
from ablations.errors import AblateError, RunError, nearest
from ablations.job import read_node
from ablations.launch import Outcome
from ablations.plan import Graph, plan
from ablations.run import write_results
from ablations.slurm.flight import look
from ablations.slurm.launch import Names, SlurmLaunch, Submission
from ablations.slurm.queue import ask
from ablations.slurm.standing import beside_queue, log_at
from ablations.spec import Spec, load
from ablations.status import LiveView, standing

POLL_S = 2.0
LINES = 40


def run_on_cluster(spec: Spec, graph: Graph, store: Store, cluster: SlurmCluster, wait: bool) -> int:
    """Submit what is missing; follow it if `wait`. With nothing left to do the report is written here."""
    costs = estimate(spec.core_seconds, spec.base, graph, store, cluster)
    check_cap(costs, cluster)
    keep_plan(spec, store, costs)
    asked = last_asked(spec, store)
    done = SlurmLaunch(graph, store, cluster, asked).run(graph.nodes)
    tell(done)
    if wait:
        follow(graph, store, asked)
    elif done.stages or done.in_flight:
        return 0
    if not done.stages and not done.in_flight:
        write_results(asked.spec, asked.scale, asked.out)
    console.print(f"report: {asked.out / 'report.html'}")
    return 0 if all(store.has(key) for key in graph.nodes) else 1


def keep_plan(spec: Spec, store: Store, costs: Sequence[Cost]) -> None:
    """Keep what the first submission was expected to take, for the report to hold beside what was spent."""
    path = store.root / "asked" / f"{spec.name}-{spec.scale}.json"
    known = [cost.gpu_hours for cost in costs if cost.gpu_hours is not None]
    write_json(path, {"gpu_hours": sum(known) if known else None, **read_mapping(path)})


def last_asked(spec: Spec, store: Store) -> Names:
    """How a spec was last asked to run: names of spec, scale and cluster, and the report's folder."""
    asked = read_mapping(store.root / "asked" / f"{spec.name}-{spec.scale}.json")
    if not {"spec", "scale", "cluster", "out"} <= asked.keys():
        raise RunError(f"{spec.name} at scale {spec.scale} was never run into the store {store.root}")
    return Names(asked["spec"], asked["scale"], asked["cluster"], Path(asked["out"]))


def make_on_cluster(graph: Graph, store: Store, cluster: SlurmCluster, names: Names, costs: list[Cost]) -> Outcome:
    """Submit what a graph misses, wait for it, and say what became of it: a round of a search's trials."""
    check_cap(costs, cluster)
    before = {key for key in graph.nodes if store.has(key)}
    SlurmLaunch(graph, store, cluster, names, report=False).run(graph.nodes)
    follow(graph, store, names)
    outcome, (rows, _) = Outcome(reused=sorted(before)), beside_queue(standing(graph, store), store)
    for row in rows:
        if row.state == "done":
            outcome.made += [row.key] if row.key not in before else []
        elif all(store.has(parent) for parent in graph.nodes[row.key].parents.values()):
            outcome.failed[row.key] = (row.error or "its job left the queue", str(log_of(store, row.key)))
        else:
            outcome.blocked.append(row.key)
    return outcome


def tell(done: Submission) -> None:
    """Say what a call submitted."""
    if done.in_flight:
        console.print(f"{done.in_flight} stages were on their way already")
    if done.stages:
        what = ", ".join(f"{count} {stage}" for stage, count in done.stages.items())
        jobs, arrays = sum(done.stages.values()), len(done.job_ids) - 1
        console.print(f"submitted {jobs} jobs in {arrays} arrays, and a report: {what}")
    elif done.job_ids:
        console.print("submitted a report on what others' jobs make")
    console.print("`ablate status` shows where they stand; the same command again submits only what is missing")


def follow(graph: Graph, store: Store, names: Names) -> None:
    """Wait until no job of the graph, nor its report, is in the queue."""
    with LiveView(graph, store, {}, 1, console) as view:
        while True:
            flight = look(store)
            if not flight.jobs_of(graph) and not flight.reports(names.spec, names.scale):
                break
            view()
            time.sleep(POLL_S)
        view.finish()


def chosen(graph: Graph, arms: Collection[str]) -> set[str]:
    """Stages that only the given arms need; without arms all stages."""
    known = list(dict.fromkeys(arm for arm, _ in graph.runs))
    for arm in arms:
        if arm not in known:
            raise AblateError(f"no arm named {arm!r}; {nearest(arm, known)}")
    if not arms:
        return set(graph.nodes)

    def needed(wanted: Iterable[tuple[str, int]]) -> set[str]:
        return graph.closure(key for run in wanted for key in graph.runs[run].values())

    others = [run for run in graph.runs if run[0] not in arms]
    return needed(run for run in graph.runs if run[0] in arms) - needed(others)


def cancel(name: str, scale: str, arms: Collection[str]) -> None:
    """Take jobs out of the queue, but for those that other specs' or arms' jobs wait for."""
    spec, store = load(name, scale), Store()
    graph, asked = plan(spec), last_asked(spec, store)
    flight = look(store)
    wanted = chosen(graph, arms) & flight.tasks.keys()
    kept = wanted & ancestors(store, flight.tasks.keys() - wanted)
    ids = [entry.id for entry in flight.of(sorted(wanted - kept)).values()]
    if not arms and not kept:
        ids += flight.reports(asked.spec, asked.scale)
    for start in range(0, len(ids), 500):
        ask("scancel", *ids[start : start + 500])
    console.print(f"{len(ids)} jobs cancelled; what they did is kept")
    if kept:
        console.print(f"{len(kept)} left, for others wait for them")


def ancestors(store: Store, keys: Iterable[str]) -> set[str]:
    """Everything that stages are made from, by the store's descriptions: they may be of any spec."""
    found: set[str] = set()
    queue = list(keys)
    while queue:
        for parent in read_node(store, queue.pop()).parents.values():
            if parent not in found:
                found.add(parent)
                if (store.root / "nodes" / f"{parent}.json").exists():
                    queue.append(parent)
    return found


def retry(name: str, scale: str, arms: Collection[str]) -> None:
    """Submit what failed, and what waits for it, anew, to the cluster that it was on."""
    spec, store = load(name, scale), Store()
    graph, asked = plan(spec), last_asked(spec, store)
    cluster = load_cluster(asked.cluster)
    if not isinstance(cluster, SlurmCluster):
        raise RunError(f"{spec.name} last ran on {asked.cluster}, no SLURM cluster: use `ablate run` again")
    rows, _ = beside_queue(standing(graph, store), store)
    failed = {row.key for row in rows if row.state == "failed"} & chosen(graph, arms)
    below = [key for key in graph.nodes if failed & graph.closure([key])]
    if not below:
        console.print("nothing has failed")
        return
    tell(SlurmLaunch(graph, store, cluster, asked).run(below))


def logs(name: str, scale: str, stage: str | None, arms: Collection[str]) -> None:
    """Print the end of the logs of stages that run or have failed, or of all stages of one kind."""
    graph, store = plan(load(name, scale)), Store()
    kinds = list(dict.fromkeys(node.stage for node in graph.nodes.values()))
    if stage is not None and stage not in kinds:
        raise AblateError(f"no stage named {stage!r}; {nearest(stage, kinds)}")
    keys = chosen(graph, arms)
    shown = 0
    for row in standing(graph, store):
        wanted = row.stage == stage if stage else row.state not in ("done", "waiting")
        path = log_of(store, row.key) if wanted and row.key in keys else None
        if path and path.exists():
            console.rule(f"{row.label}: {path}")
            print("\n".join(path.read_text(errors="replace").splitlines()[-LINES:]))
            shown += 1
    if not shown:
        console.print(f"no logs of that; all are below {store.root / 'slurm'}")


def log_of(store: Store, key: str) -> Path | None:
    """The log of the job that last worked on a stage."""
    status = read_json(store.root / "status" / f"{key}.json", missing={})
    return log_at(status, store) if "array" in status else None
