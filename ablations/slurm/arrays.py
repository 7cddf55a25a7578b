"""From missing stages to job arrays and the dependencies between their tasks. Pure: nothing here talks to SLURM."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from ablations.plan import Graph


@dataclass(frozen=True)
class Task:
    """One task of an array, known by the array's name and its index there."""

    array: str
    index: int


@dataclass
class Array:
    """
    Like stages that become one sbatch call.

    `tasks` are the stages that each index makes, in order (inline parents first). Task i waits for task i of every
    array in `matching` (aftercorr), and every task waits for all of `shared` (afterok).
    """

    name: str
    stage: str
    tasks: dict[int, tuple[str, ...]] = field(default_factory=dict)
    matching: tuple[str, ...] = ()
    shared: tuple[Task, ...] = ()


def arrange(
    graph: Graph, missing: Iterable[str], in_flight: Mapping[str, Task], inline: Collection[str], largest: int
) -> list[Array]:
    """
    The arrays that make the `missing` stages, each after the arrays that it waits for.

    `in_flight` says which tasks make stages that were submitted before. `inline` stages run inside the jobs that need
    them, alone only if none does. Indices stay below `largest` (the cluster's MaxArraySize).
    """
    chains = jobs(graph, set(missing), inline)
    placed: dict[str, Task] = dict(in_flight)
    arrays: list[Array] = []
    depths = depth(graph, chains)
    kinds = sorted(chains, key=lambda key: (depths[key], order(graph, key)))
    for _, keys in groupby(kinds, key=lambda key: (depths[key], graph.nodes[key].stage)):
        for array in alike(graph, {key: chains[key] for key in keys}, placed, largest, len(arrays)):
            arrays.append(array)
            placed.update({chain[-1]: Task(array.name, index) for index, chain in array.tasks.items()})
    return arrays


def jobs(graph: Graph, missing: set[str], inline: Collection[str]) -> dict[str, tuple[str, ...]]:
    """For each stage that is a job of its own, the chain that the job makes."""
    within = {key for key in missing if graph.nodes[key].stage in inline}
    needed = {parent for key in missing for parent in graph.nodes[key].parents.values()}

    def ahead(key: str) -> tuple[str, ...]:
        links: dict[str, None] = {}
        for parent in graph.nodes[key].parents.values():
            if parent in within:
                links.update(dict.fromkeys((*ahead(parent), parent)))
        return tuple(links)

    return {key: (*ahead(key), key) for key in graph.nodes if key in missing and not (key in within and key in needed)}


def depth(graph: Graph, chains: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """How many submitted jobs, one after another, come before each."""
    depths: dict[str, int] = {}
    for key in graph.nodes:  # parents first
        if key in chains:
            before = (depths[parent] for parent in outside(graph, chains[key]) if parent in depths)
            depths[key] = max(before, default=-1) + 1
    return depths


def order(graph: Graph, key: str) -> int:
    """Where a stage's kind first comes up in the graph: arrays of one depth are submitted in that order."""
    return next(i for i, node in enumerate(graph.nodes.values()) if node.stage == graph.nodes[key].stage)


def outside(graph: Graph, chain: tuple[str, ...]) -> list[str]:
    """The parents of a chain that the chain itself does not make."""
    parents = (parent for key in chain for parent in graph.nodes[key].parents.values())
    return [parent for parent in dict.fromkeys(parents) if parent not in chain]


def alike(
    graph: Graph, chains: Mapping[str, tuple[str, ...]], placed: Mapping[str, Task], largest: int, first: int
) -> list[Array]:
    """Jobs of one stage and depth in as few arrays as their dependencies allow."""
    waits = {key: [placed[p] for p in outside(graph, chain) if p in placed] for key, chain in chains.items()}
    users = Counter(task for tasks in waits.values() for task in tasks)
    groups: dict[tuple[object, ...], list[str]] = {}
    for key, tasks in waits.items():
        own = [task for task in tasks if users[task] == 1]
        shared = frozenset(task for task in tasks if users[task] > 1)
        matching = frozenset(task.array for task in own)
        # aftercorr joins equal indices: with two of them, or two tasks of one array, a job stands alone
        odd = len({task.index for task in own}) > 1 or len(matching) < len(own)
        groups.setdefault((key,) if odd else (shared, matching), []).append(key)
    arrays: list[Array] = []
    for keys in groups.values():
        for start in range(0, len(keys), largest):
            name = f"{first + len(arrays)}"
            arrays.append(array_of(name, graph, keys[start : start + largest], chains, waits, users))
    return arrays


def array_of(
    name: str,
    graph: Graph,
    keys: list[str],
    chains: Mapping[str, tuple[str, ...]],
    waits: Mapping[str, list[Task]],
    users: Mapping[Task, int],
) -> Array:
    """One array of jobs that wait alike. A single job names its parents' tasks; several match theirs by index."""
    stage, tasks = graph.nodes[keys[0]].stage, waits[keys[0]]
    if len(keys) == 1:
        return Array(name, stage, {0: chains[keys[0]]}, shared=tuple(tasks))
    own = {key: [task for task in waits[key] if users[task] == 1] for key in keys}
    matching = tuple(dict.fromkeys(task.array for task in own[keys[0]]))
    indices = [own[key][0].index if matching else number for number, key in enumerate(keys)]
    shared = tuple(task for task in tasks if users[task] > 1)
    return Array(name, stage, {i: chains[key] for i, key in zip(indices, keys, strict=True)}, matching, shared)


def dependency(array: Array, job_ids: Mapping[str, str], sizes: Mapping[str, int]) -> str | None:
    """The value of sbatch's --dependency: `aftercorr:7,afterok:5_0:6`; whole arrays by their own id."""
    parts = [f"aftercorr:{job_ids[name]}" for name in array.matching]
    wanted: dict[str, list[int]] = {}
    for task in array.shared:
        wanted.setdefault(task.array, []).append(task.index)
    terms = []
    for name, indices in wanted.items():
        whole = len(indices) == sizes[name]
        terms += [job_ids[name]] if whole else [f"{job_ids[name]}_{index}" for index in indices]
    if terms:
        parts.append("afterok:" + ":".join(terms))
    return ",".join(parts) or None
