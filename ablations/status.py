"""Where a graph of stages stands, read from the store alone; and the live view of `ablate run`."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ablations.artifacts import Store, read_json
from ablations.plan import Graph

HEARTBEAT_S = 30.0
STYLES = {
    "done": "green",
    "running": "cyan",
    "failed": "red",
    "interrupted": "yellow",
    "waiting": "dim",
    "queued": "blue",
    "preempted": "yellow",
}


@dataclass(frozen=True)
class Row:
    """
    One stage's standing. `state` is done, running, failed, interrupted or waiting; on SLURM also queued or preempted.

    `task`, `node`, `age_s` (seconds since it was submitted or started), `reason` (SLURM's for a job that waits) and
    `last_line` (of its log) are those of its job on a cluster; `gpu_s` are the GPU-seconds it took so far.
    """

    key: str
    stage: str
    runs: str
    state: str
    done: int | None = None
    total: int | None = None
    rate: float | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    spent_s: float = 0.0
    error: str | None = None
    gpu_s: float = 0.0
    task: str | None = None
    node: str | None = None
    age_s: float | None = None
    reason: str | None = None
    last_line: str | None = None

    @property
    def left_s(self) -> float | None:
        """Seconds left at the current rate."""
        if self.state != "running" or not self.rate or self.done is None or self.total is None:
            return None
        return (self.total - self.done) / self.rate

    @property
    def label(self) -> str:
        """Stage with the arm and seed it is for."""
        return f"{self.stage} · {self.runs}"


def standing(graph: Graph, store: Store) -> list[Row]:
    """A row for every stage of the graph, parents first."""
    return [row(key, graph.nodes[key].stage, runs, store) for key, runs in served(graph).items()]


def row(key: str, stage: str, runs: str, store: Store) -> Row:
    """The standing of one stage."""
    if store.has(key):
        manifest = store.manifest(key)
        gpu_s = manifest.get("accelerator_seconds", 0.0)
        return Row(key, stage, runs, "done", spent_s=manifest["seconds"], gpu_s=gpu_s)
    status = read_json(store.root / "status" / f"{key}.json", missing={})
    if not status:
        return Row(key, stage, runs, "waiting")
    state = status["state"]
    if state == "running" and not store.claimed(key):
        state = "interrupted"
    facts = {name: status.get(name) for name in ("done", "total", "rate", "error", "task")}
    gpu_s = status["spent_s"] * status.get("gpus", 0)
    figures = status.get("figures", {})
    return Row(key, stage, runs, state, figures=figures, spent_s=status["spent_s"], gpu_s=gpu_s, **facts)


def served(graph: Graph) -> dict[str, str]:
    """For every stage the runs that it belongs to, in words."""
    users: dict[str, list[tuple[str, int]]] = {key: [] for key in graph.nodes}
    for run, roles in graph.runs.items():
        for key in graph.closure(roles.values()):
            users[key].append(run)
    every = sorted({seed for _, seed in graph.runs})
    return {key: "all arms" if len(runs) == len(graph.runs) else described(runs, every) for key, runs in users.items()}


def described(runs: list[tuple[str, int]], every: list[int]) -> str:
    """Some runs by their arms and, where these are not there with `every` seed, the seeds."""
    arms = ", ".join(dict.fromkeys(arm for arm, _ in runs))
    seeds = sorted({seed for _, seed in runs})
    return arms if seeds == every else f"{arms} · seed {', '.join(map(str, seeds))}"


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def table(rows: list[Row]) -> Table:
    """All stages for `ablate status`; columns about jobs only if there are any."""
    jobs = any(entry.task for entry in rows)
    more = ("job", "node", "age", "last line") if jobs else ()
    grid = Table("stage", "runs", "state", "progress", "spent", *more, box=None, header_style="bold", pad_edge=False)
    for entry in rows:
        state = Text(entry.state, style=STYLES[entry.state])
        spent = duration(entry.spent_s) if entry.spent_s else ""
        told = entry.error or entry.reason or progress_text(entry)
        job = (entry.task or "", entry.node or "", duration(entry.age_s) if entry.age_s else "", entry.last_line or "")
        grid.add_row(entry.stage, entry.runs, state, told, spent, *(Text(word) for word in job[: len(more)]))
    return grid


def summary(title: str, rows: list[Row]) -> str:
    """How many stages stand in each state, and the GPU-hours that they took."""
    states = Counter(entry.state for entry in rows)
    hours = sum(entry.gpu_s for entry in rows) / 3600
    return f"{title}: {', '.join(f'{n} {state}' for state, n in states.items())}" + (
        f"; {hours:,.2f} GPU-hours spent" if hours else ""
    )


def progress_text(entry: Row) -> str:
    """Progress, rate, figures and time left of a running stage, in one line."""
    if entry.state == "done" or entry.done is None or not entry.total:
        return ""
    parts = [f"{entry.done:,}/{entry.total:,}"]
    if entry.rate:
        parts.append(f"{entry.rate:,.1f}/s")
    parts += [f"{name} {value:.4g}" for name, value in entry.figures.items()]
    if entry.left_s is not None:
        parts.append(f"{duration(entry.left_s)} left")
    return "  ".join(parts)


class LiveView:
    """What `ablate run` shows: a view that redraws itself on a terminal, elsewhere a line an event."""

    def __init__(self, graph: Graph, store: Store, expected: Mapping[str, float], cores: int, console: Console) -> None:
        self.graph, self.store, self.expected, self.cores, self.console = graph, store, expected, cores, console
        self.runs = served(graph)
        self.seen: dict[str, str] = {row.key: row.state for row in standing(graph, store)}
        self.done = {key for key, state in self.seen.items() if state == "done"}
        self.live: Live | None = None
        self.beat = time.monotonic()
        self.drawn = float("-inf")

    def __enter__(self) -> "LiveView":
        if self.console.is_terminal:
            self.live = Live(console=self.console, refresh_per_second=4, transient=True)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def __call__(self) -> None:
        """Look at the store and show what changed since the last call."""
        now = time.monotonic()
        if now - self.drawn < 1.0:
            return
        rows = self._rows()
        for entry in rows:
            before = self.seen.get(entry.key)
            if entry.state != before and entry.state in ("running", "done", "failed"):
                self._tell(entry)
            self.seen[entry.key] = entry.state
        running = [entry for entry in rows if entry.state == "running"]
        if self.live:
            self.live.update(self._view(running))
        elif now - self.beat > HEARTBEAT_S:
            for entry in running:
                self.console.print(f"  … {entry.label}: {progress_text(entry)}")
            self.beat = now
        self.drawn = now

    def finish(self) -> None:
        """Show the last changes."""
        self.drawn = float("-inf")
        self()

    def _rows(self) -> list[Row]:
        rows = []
        for key, node in self.graph.nodes.items():
            if key not in self.done:
                entry = row(key, node.stage, self.runs[key], self.store)
                rows.append(entry)
                if entry.state == "done":
                    self.done.add(key)
        return rows

    def _tell(self, entry: Row) -> None:
        marks = {"running": ("▸", ""), "done": ("✓", "green"), "failed": ("✗", "red")}
        if entry.state == "running" and self.live:
            return
        words = f" in {duration(entry.spent_s)}" if entry.state == "done" else f": {entry.error}" if entry.error else ""
        self.console.print(Text.assemble(marks[entry.state], f" {entry.label}{words}"))

    def _view(self, running: list[Row]) -> Group:
        waiting = [node.stage for key, node in self.graph.nodes.items() if key not in self.done]
        active = {entry.key: entry for entry in running}
        left = sum(self.expected.get(stage, 0.0) for stage in waiting)
        left -= sum(self.expected.get(entry.stage, 0.0) - (entry.left_s or 0.0) for entry in active.values())
        grid = Table.grid(padding=(0, 2))
        for entry in running:
            share = (entry.done or 0) / entry.total if entry.total else 0.0
            grid.add_row(entry.label, ProgressBar(total=1.0, completed=share, width=24), progress_text(entry))
        count = f"{len(self.done)} of {len(self.graph.nodes)} stages done"
        if self.expected:
            count += f", about {duration(max(left, 0) / self.cores)} left"
        return Group(Text(count, style="bold"), grid)


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    """Rows for `ablate status --json`."""
    return [{**vars(entry), "figures": dict(entry.figures), "left_s": entry.left_s} for entry in rows]
