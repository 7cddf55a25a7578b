"""From a spec to a graph of stages, each known by its fingerprint."""

import ast
import hashlib
import importlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablations.errors import PlanError
from ablations.outside import rooted, taken_out
from ablations.recipe import AnyRecipe
from ablations.spec import Spec
from ablations.stage import Add, Node
from ablations.stages import STAGES, experiment
from ablations.task_recipe import Need, TaskRecipe, needs_of
from ablations.task_stages import task_experiment
from bench.settings import required_weights
from svd_core.curation.settings import SubsetSettings
from svd_core.data.settings import CuratedSettings, HeldOutSettings
from svd_core.encoders import weights
from svd_core.settings import Settings

if TYPE_CHECKING:
    import polars as pl

SCHEME = 1
"""Version of the fingerprint itself; raising it makes every artifact anew."""


@dataclass
class Graph:
    """Stages by key, and for every run (arm, seed) its stages by role."""

    nodes: dict[str, Node] = field(default_factory=dict)
    runs: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)

    def add(self, stage: str, settings: Settings, /, **parents: Node) -> Node:
        """Enter a stage; the same settings and parents give the same node."""
        values = rooted(settings.model_dump(mode="json"), STAGES[stage].outside)
        keys = {role: parent.key for role, parent in sorted(parents.items())}
        node = Node(stage, values, keys, fingerprint(stage, values, keys))
        return self.nodes.setdefault(node.key, node)

    def children(self) -> dict[str, list[str]]:
        """For every stage those that read its artifact."""
        readers: dict[str, list[str]] = {key: [] for key in self.nodes}
        for child in self.nodes.values():
            for parent in dict.fromkeys(child.parents.values()):
                readers[parent].append(child.key)
        return readers

    def closure(self, keys: Iterable[str]) -> set[str]:
        """The given stages and everything they are made from."""
        found: set[str] = set()
        queue = list(keys)
        while queue:
            key = queue.pop()
            if key not in found:
                found.add(key)
                queue.extend(self.nodes[key].parents.values())
        return found


def fingerprint(stage: str, settings: Mapping[str, Any], parents: Mapping[str, str]) -> str:
    """Hash of everything that can change what the stage makes. Resources, paths and log settings never enter."""
    settings, outside = taken_out(settings, STAGES[stage].outside)
    outside |= {name: weights_digest(name) for name in needed_weights(stage, settings)}
    identity = {
        "scheme": SCHEME,
        "stage": stage,
        "version": STAGES[stage].version,
        "settings": settings,
        "parents": parents,
        "outside": outside,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]


@cache
def weights_digest(name: str) -> str:
    """The pinned digest of weights or, for a file that only the user has, the digest of what is there."""
    try:
        return weights.pinned(name)
    except weights.WeightsError as error:
        raise PlanError(str(error)) from error


def needed_weights(stage: str, settings: Mapping[str, Any]) -> list[str]:
    """Names of the pretrained weights that a stage reads."""
    names = list(STAGES[stage].weights)
    if stage == "reference_features":
        names.append(settings["encoder"])
    if stage == "score":
        names += required_weights(settings["metrics"])
    return sorted(set(names))


def plan(spec: Spec) -> Graph:
    """All stages of all runs of a spec, shared wherever they agree."""
    graph = Graph()
    needs = needs_of(recipe for recipe in spec.arms.values() if isinstance(recipe, TaskRecipe))
    for arm, seed in spec.runs():
        roles = wired(spec.arms[arm].with_seed(seed), graph.add, needs)
        graph.runs[arm, seed] = {role: node.key for role, node in roles.items()}
    check_twins(spec, graph)
    return graph


def wired(recipe: AnyRecipe, add: Add, needs: Mapping[Path, Need]) -> dict[str, Node]:
    """The stages of one run by role."""
    return task_experiment(recipe, add, needs) if isinstance(recipe, TaskRecipe) else experiment(recipe, add)


def check_twins(spec: Spec, graph: Graph) -> None:
    """No two arms are one experiment: what they differ by must reach a stage. Raises PlanError."""
    owners: dict[str, str] = {}
    for arm in spec.arms:
        twin = owners.setdefault(graph.runs[arm, spec.seeds[0]]["score"], arm)
        if twin != arm:
            raise PlanError(
                f"{spec.path}: arms {twin!r} and {arm!r} are one experiment: no stage reads what they differ by"
            )


def usual(recipe: AnyRecipe) -> Graph:
    """The stages of one run of a recipe as it is: what an arm's are compared with in size."""
    graph = Graph()
    roles = wired(recipe, graph.add, needs_of([recipe] if isinstance(recipe, TaskRecipe) else []))
    graph.runs["", 0] = {role: node.key for role, node in roles.items()}
    return graph


def check_weights(graph: Graph) -> None:
    """Refuse a plan whose weights are not here, naming each file, its digest and the command that gets it."""
    names = {name for node in graph.nodes.values() for name in needed_weights(node.stage, node.settings)}
    problems = []
    for name in sorted(names):
        try:
            weights.locate(name)
        except weights.WeightsError as error:
            problems.append(str(error))
    if problems:
        raise PlanError("\n".join(problems))


def check_folders(graph: Graph) -> None:
    """Refuse folders of the user's without the clips that are asked for, and what is held out of what is trained on."""
    from svd_core.curation.choice import choose_clips, choose_held_out
    from svd_core.data.subset import choose_subset

    views: dict[str, pl.DataFrame] = {}
    for node in graph.nodes.values():  # parents first
        where = ""
        try:
            if node.stage == "curated":
                views[node.key] = choose_clips(CuratedSettings.model_validate(node.settings))
            if node.stage == "subset" and (view := node.parents.get("curate", "")) in views:
                where = f"a subset of {graph.nodes[view].settings['folder']}: "
                choose_subset(SubsetSettings.model_validate(node.settings), views[view])
            if node.stage == "held_out":
                trained = [views[key] for key in node.parents.values()]
                choose_held_out(HeldOutSettings.model_validate(node.settings), trained)
        except ValueError as error:
            raise PlanError(f"{where}{error}") from error


def source_digest(stage: str) -> str:
    """Hash of the source that a stage's code can reach: tells whether it changed since an artifact was made."""
    run = STAGES[stage].run
    path = Path(run.__code__.co_filename)
    functions = {n.name: n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)}
    function = functions[run.__name__]
    hasher = hashlib.sha256(ast.unparse(function).encode())
    for module in sorted(reachable(imports(function))):
        hasher.update(module_path(module).read_bytes())
    return hasher.hexdigest()[:20]


def reachable(modules: Iterable[str]) -> set[str]:
    """Project modules that these import, directly or not."""
    found: set[str] = set()
    queue = list(modules)
    while queue:
        module = queue.pop()
        if module not in found:
            found.add(module)
            queue.extend(imports_of(module))
    return found


@cache
def imports_of(module: str) -> tuple[str, ...]:
    """Project modules that a module imports."""
    return tuple(imports(ast.parse(module_path(module).read_text())))


def imports(tree: ast.AST) -> list[str]:
    """Project modules named by the import statements below a syntax tree."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if name.split(".")[0] in ("svd_core", "bench") and is_module(name)]


@cache
def is_module(name: str) -> bool:
    """Whether a dotted name is a module of the project, rather than something inside one."""
    return module_path(name).is_file()


@cache
def module_path(name: str) -> Path:
    """The source file of a project module."""
    top, *rest = name.split(".")
    base = Path(next(iter(importlib.import_module(top).__path__))).joinpath(*rest)
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
