"""Where the full settings of runs differ, defaults included."""

from collections.abc import Mapping

from ablations.plan import Graph


def settings_of(graph: Graph, arm: str, seed: int) -> dict[str, object]:
    """Every setting of one run's stages, as `stage.name`; what its seed draws is left out."""
    roles = graph.runs[arm, seed]
    every = {
        f"{role}.{key}": said(value) for role, k in roles.items() for key, value in graph.nodes[k].settings.items()
    }
    return {name: value for name, value in every.items() if not name.endswith(".seed")}


def said(value: object) -> object:
    """A setting without what is left open in it: entries that are null."""
    if isinstance(value, Mapping):
        return {name: said(inner) for name, inner in value.items() if inner is not None}
    return [said(inner) for inner in value] if isinstance(value, list) else value


def differing(settings: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """Setting to its value in each of the runs, for all that are not the same everywhere; null where there is none."""
    names = sorted({name for own in settings.values() for name in own})
    values = {name: {run: own.get(name) for run, own in settings.items()} for name in names}
    return {name: found for name, found in values.items() if len({repr(value) for value in found.values()}) > 1}
