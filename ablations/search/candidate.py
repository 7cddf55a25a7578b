"""One trial's stages, and what their artifacts say of it."""

from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from statistics import fmean

from ablations.artifacts import Store, read_json
from ablations.plan import Graph
from ablations.search.parameters import Point
from ablations.search.study import Study
from ablations.stage import Node
from ablations.stages import segments
from bench.settings import METRICS

Values = dict[str, dict[str, float]]
"""Objective → seed (in digits, as JSON keeps it) → value."""


class Unmeasured(Exception):
    """An objective has no usable value; the text says why."""


@dataclass
class Candidate:
    """A point of a study with its stages: `rungs[n][seed]` are the nodes, by role, up to the n-th scoring."""

    point: Point
    objectives: tuple[str, ...]
    rungs: list[dict[int, dict[str, Node]]]
    graph: Graph = field(repr=False)

    @classmethod
    def of(cls, study: Study, point: Point) -> "Candidate":
        """Wire a point's stages, paired by the study's seeds. Raises DocumentError if the recipe does not take it."""
        graph, rungs = Graph(), [dict[int, dict[str, Node]]() for _ in study.rungs]
        recipe = study.recipe(point)
        for seed in study.file.seeds:
            for rung, nodes in enumerate(segments(recipe.with_seed(seed), study.rungs, graph.add)):
                rungs[rung][seed] = nodes
        return cls(point, study.file.objectives, rungs, graph)

    def keys(self, rung: int) -> list[str]:
        """The artifacts that hold the objectives' values."""
        roles = dict.fromkeys(role_of(objective) for objective in self.objectives)
        return [nodes[role].key for nodes in self.rungs[rung].values() for role in roles]

    def subset_keys(self) -> list[str]:
        """The artifacts that tell how many clips the point keeps."""
        return [nodes["score_subset"].key for nodes in self.rungs[0].values()]

    @property
    def identity(self) -> list[str]:
        """What the whole trial comes to: points of the same identity are one and the same experiment."""
        return sorted(set(self.keys(-1)))

    def values(self, store: Store, rung: int) -> Values:
        """Every objective by seed. Raises Unmeasured for the first that is null or not finite."""
        return {
            objective: {
                str(seed): measured(store.artifact(nodes[role_of(objective)].key), objective)
                for seed, nodes in self.rungs[rung].items()
            }
            for objective in self.objectives
        }

    def kept_share(self, store: Store) -> float:
        """Share of all clips that the point keeps, mean over seeds where the subset is drawn at random."""
        return fmean(measured(store.artifact(key), "kept_share") for key in self.subset_keys())

    def part(self, keys: list[str], name: str) -> Graph:
        """The stages that these artifacts are made from, as the runs of one arm called `name`."""
        way = self.graph.closure(keys)
        nodes = {key: node for key, node in self.graph.nodes.items() if key in way}
        return Graph(nodes, {(name, 0): {str(number): key for number, key in enumerate(keys)}})


def role_of(objective: str) -> str:
    """The stage that yields an objective."""
    return "score" if objective in METRICS else "score_subset"


def measured(artifact: Path, objective: str) -> float:
    """One value out of an artifact's `scores.json`."""
    entry = read_json(artifact / "scores.json")[objective]
    value = entry["value"]
    if value is None or not isfinite(value):
        raise Unmeasured(f"{objective} is {value}: {entry['error'] or 'not a finite number'}")
    return float(value)


def means(values: Values) -> list[float]:
    """One number an objective: the mean over the paired seeds."""
    return [fmean(by_seed.values()) for by_seed in values.values()]


def union(graphs: list[Graph]) -> Graph:
    """One graph of several; what they share is in it once."""
    whole = Graph()
    for graph in graphs:
        whole.nodes.update(graph.nodes)
        whole.runs.update(graph.runs)
    return whole
