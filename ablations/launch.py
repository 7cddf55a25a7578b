"""Running a graph of stages on this machine: jobs start as their parents finish, through submitit's local executor."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablations.artifacts import Store, read_json
from ablations.cluster import LocalCluster
from ablations.job import make, outdated, run_stages, write_node
from ablations.plan import Graph
from ablations.stage import COMPUTE, Trained, compute_words
from svd_core.training.settings import ComputeSettings

TIMEOUT_MIN = 60 * 24 * 365  # submitit's local executor wants a limit; the laptop has none
POLL_S = 0.1
SHORT_S = 2.0
"""Stages expected to take less are made several in a job: starting its process takes about a second."""
DEVICES = Path("/dev")


@dataclass
class Outcome:
    """What became of a graph: stages made now, found made, failed (with reason and log), and blocked by a failure."""

    made: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    rebuilt: dict[str, str] = field(default_factory=dict)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)
    blocked: list[str] = field(default_factory=list)


@dataclass
class Running:
    """A submitit job, the chain of stages it makes, and the GPU that it may use ("" is none)."""

    job: Any
    chain: list[str]
    gpu: str = ""


def sweep(graph: Graph, store: Store, outcome: Outcome) -> None:
    """Believe only whole artifacts: discard damaged ones, so that they and nothing else are made again."""
    claimed = store.claimed_among(graph.nodes)
    for key in graph.nodes:
        if not store.has(key) or key in claimed:
            continue
        damage = store.damage(key) or outdated(store, key)
        if damage:
            store.discard(key)
            outcome.rebuilt[key] = damage
        else:
            outcome.reused.append(key)


def run_here(
    graph: Graph,
    store: Store,
    outcome: Outcome,
    watch: Callable[[], None],
    compute: Mapping[Trained, ComputeSettings] | None = None,
) -> None:
    """Make every missing stage in this process, one after another, as a cluster file's `compute` says: for the smoke
    scale.
    """
    for key in ordered(graph):
        node = graph.nodes[key]
        if store.has(key):
            continue
        if any(parent in outcome.failed or parent in outcome.blocked for parent in node.parents.values()):
            outcome.blocked.append(key)
            continue
        write_node(store, node)
        try:
            with environment(**{COMPUTE: compute_words(compute or {})}):
                make(store, key)
            outcome.made.append(key)
        except Exception:  # one stage's failure stops only what depends on it
            outcome.failed[key] = (reason(store, key), "printed above")
        watch()


def ordered(graph: Graph) -> list[str]:
    """Stages, parents first. They were entered in that order."""
    return list(graph.nodes)


class LocalLaunch:
    """One process per core. The longest remaining path goes first; a job runs a chain of stages to save imports."""

    def __init__(
        self, graph: Graph, store: Store, cluster: LocalCluster, seconds: Mapping[str, float], outcome: Outcome
    ) -> None:
        import submitit

        self.graph, self.store, self.cluster, self.outcome = graph, store, cluster, outcome
        self.executor = submitit.LocalExecutor(folder=store.folder("jobs") / "%j")
        self.executor.update_parameters(timeout_min=TIMEOUT_MIN, stderr_to_stdout=True)
        self.running: list[Running] = []
        self.gpus = visible_gpus()
        self.slots = min(cluster.cores, cluster.per_gpu * len(self.gpus)) if self.gpus else cluster.cores
        self.children = graph.children()
        self.known = seconds.keys()
        self.present = {key for key in graph.nodes if store.has(key)}
        self.remaining: dict[str, float] = {}
        for key in reversed(ordered(graph)):
            after = max((self.remaining[child] for child in self.children[key]), default=0.0)
            stage = graph.nodes[key].stage
            shared_by = cluster.cores if stage in cluster.all_cores else 1
            self.remaining[key] = seconds.get(stage, 1.0) / shared_by + after

    def run(self, watch: Callable[[], None]) -> None:
        """Start what is ready and wait, until every stage is made, failed or blocked."""
        with no_leftovers(self.running):
            while True:
                self._collect()
                busy = self._busy()
                ready = self._ready(busy)
                if not busy and not ready:
                    break
                for chain in self._jobs(ready, self.slots - self._taken(busy)):
                    self._start(chain)
                watch()
                time.sleep(POLL_S)
        self.outcome.blocked += [
            key for key in self.graph.nodes if not self.store.has(key) and key not in self.outcome.failed
        ]

    def _busy(self) -> set[str]:
        """Stages in our own jobs, and stages that another living process works on."""
        ours = {key for running in self.running for key in running.chain}
        return ours | self.store.claimed_among(self.graph.nodes.keys() - ours - self.present)

    def _taken(self, busy: set[str]) -> int:
        ours = {key for running in self.running for key in running.chain}
        return len(self.running) + len(busy - ours)

    def _ready(self, busy: set[str]) -> list[str]:
        """Stages whose parents are all made, longest remaining path first."""
        keys = [key for key in self.graph.nodes if key not in busy and self._possible(key, ahead=())]
        return sorted(keys, key=lambda key: -self.remaining[key])

    def _possible(self, key: str, ahead: tuple[str, ...]) -> bool:
        """Whether a stage can be made once the stages `ahead` are."""
        if key in self.present:
            return False
        parents = self.graph.nodes[key].parents.values()
        if not all(parent in ahead or parent in self.present for parent in parents):
            return False
        return not self._made(key) and key not in self.outcome.failed  # another process may make what failed here

    def _made(self, key: str) -> bool:
        """Whether a stage is made by now. The store is asked only until then, and before a job that needs it starts."""
        if key not in self.present and self.store.has(key):
            self.present.add(key)
        return key in self.present

    def _jobs(self, ready: list[str], free: int) -> list[list[str]]:
        """What to start in so many free slots: a chain in each, short ones shared out over what the others leave."""
        if free <= 0:
            return []
        chains = [self._chain(key) for key in ready]
        short = [chain for chain in chains if self._is_short(chain)]
        jobs = [chain for chain in chains if chain not in short][:free]
        rest = min(free - len(jobs), len(short))
        return jobs + [[key for chain in short[number::rest] for key in chain] for number in range(rest)]

    def _is_short(self, chain: list[str]) -> bool:
        """Whether little is left from here to the end of every path, as far as costs are known."""
        stages = {self.graph.nodes[key].stage for key in chain}
        return self.remaining[chain[0]] < SHORT_S and stages <= self.known and stages.isdisjoint(self.cluster.all_cores)

    def _start(self, chain: list[str]) -> None:
        """Start a job, unless what it is made from has been discarded meanwhile: then that is made again first."""
        parents = {parent for link in chain for parent in self.graph.nodes[link].parents.values()}
        if gone := {parent for parent in parents - {*chain} if not self.store.has(parent)}:
            self.present -= gone
            return
        for link in chain:
            write_node(self.store, self.graph.nodes[link])
        wide = self.graph.nodes[chain[0]].stage in self.cluster.all_cores
        compute = compute_words(self.cluster.compute)
        cores = str(self.cluster.cores if wide else 1)
        variables = environment(OMP_NUM_THREADS="1", ABLATE_CORES=cores, **{COMPUTE: compute})
        with variables, stderr_into(self.store.root / "jobs" / "controllers.log"):
            gpu = min(self.gpus, key=self._jobs_on, default="")
            job = self.executor.submit(run_stages, self.store.root, chain, wide, gpu)
        self.running.append(Running(job, chain, gpu))

    def _jobs_on(self, gpu: str) -> int:
        return sum(running.gpu == gpu for running in self.running)

    def _chain(self, key: str) -> list[str]:
        """The stage and, as long as one alone becomes possible by it, what follows it on its longest path."""
        chain = [key]
        while self.graph.nodes[chain[-1]].stage not in self.cluster.all_cores:
            children = [c for c in self.children[chain[-1]] if self._possible(c, tuple(chain))]
            narrow = [c for c in children if self.graph.nodes[c].stage not in self.cluster.all_cores]
            if not narrow:
                break
            chain.append(max(narrow, key=lambda c: self.remaining[c]))
        return chain

    def _collect(self) -> None:
        """Take finished jobs off the list; a stage they leave unmade has failed."""
        for running in list(self.running):
            ended = running.job.done()  # asked first: what it made is in the store by then
            made = [key for key in running.chain if self._made(key)]
            self.outcome.made += [key for key in made if key not in self.outcome.made]
            if ended:
                self.running.remove(running)
                if unmade := [key for key in running.chain if key not in self.present]:
                    self.outcome.failed[unmade[0]] = (reason(self.store, unmade[0]), str(running.job.paths.stdout))


def visible_gpus() -> list[str]:
    """This machine's GPUs as CUDA_VISIBLE_DEVICES names them: those that it lists, or all, which CUDA counts from 0."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        names = [name.strip() for name in listed.split(",")]
        return [name for name in names if name not in ("", "-1")]
    return [str(number) for number, _ in enumerate(DEVICES.glob("nvidia[0-9]*"))]


def reason(store: Store, key: str) -> str:
    """Why a stage failed, by its own account."""
    status = read_json(store.root / "status" / f"{key}.json", missing={})
    if status.get("state") == "failed":
        return str(status["error"])
    return "its process ended without a word (killed, or out of memory)"


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables for the processes started inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def stderr_into(path: Path) -> Iterator[None]:
    """Send the standard error of processes started inside to a file.

    Ctrl-C reaches submitit's controllers too: they stop their jobs as they should, but end with a traceback.
    """
    kept = os.dup(2)
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def no_leftovers(running: list[Running]) -> Iterator[None]:
    """Stop the jobs that still run when the caller is interrupted; what they did is kept for the next time.

    Shells start background commands with SIGINT ignored, which jobs would inherit: they could not be stopped.
    """
    previous = signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
        for entry in running:
            entry.job.cancel(check=False)


def interrupt(signum: int, frame: object) -> None:
    """Treat a termination request like Ctrl-C."""
    raise KeyboardInterrupt
