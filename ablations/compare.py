"""`ablate compare`: runs of one or several ablations side by side, in columns that only equal measurements share."""

from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from ablations.artifacts import Store
from ablations.errors import AblateError, nearest
from ablations.plan import Graph, plan
from ablations.report.differences import differing, settings_of
from ablations.report.result import Score, read_scores
from ablations.report.tables import Cell, Panel, Table
from ablations.report.wording import ARROWS, decimals, number, with_interval
from ablations.spec import Spec, load
from ablations.statistics import paired_difference

Protocol = tuple[Any, ...]


@dataclass(frozen=True)
class Row:
    """One arm with some of its seeds. `scores` maps a protocol to seed to value; `label` is how the user named it."""

    label: str
    scores: dict[Protocol, dict[int, float]]
    settings: dict[str, object]
    missing: tuple[int, ...]


def compare(names: list[str], scale: str) -> Table:
    """A table of the runs `SPEC:ARM` or `SPEC:ARM:SEED`: scores, differences from the first one, and settings."""
    if len(names) < 2:
        raise AblateError("compare needs at least two runs, each SPEC:ARM or SPEC:ARM:SEED")
    specs = {name: load(name, scale) for name in dict.fromkeys(run.partition(":")[0] for run in names)}
    graphs, store = {name: plan(spec) for name, spec in specs.items()}, Store()
    shown: dict[Protocol, Score] = {}
    rows = [row(name, specs, graphs, store, shown) for name in names]
    panels = [score_panel(rows, shown), difference_panel(rows, shown), settings_panel(rows)]
    notes = [f"Missing: {r.label}, seeds {', '.join(map(str, r.missing))} (not scored)." for r in rows if r.missing]
    return Table(
        name="compare",
        question=f"{' and '.join(names)} at scale {scale}",
        verdicts=(),
        caption="Values share a column only if metric, encoder, weights, clips, frames, size and reference agree.",
        panels=tuple(panel for panel in panels if panel.rows),
        notes=("Descriptive: mean ± standard deviation over seeds, unadjusted 95 % intervals, no verdict.", *notes),
    )


def row(name: str, specs: dict[str, Spec], graphs: dict[str, Graph], store: Store, shown: dict[Protocol, Score]) -> Row:
    """One row of the table; protocols that are new go into `shown`."""
    arm, seeds = parts(name, specs)
    graph = graphs[name.partition(":")[0]]
    scores: dict[Protocol, dict[int, float]] = {}
    missing = []
    for seed in seeds:
        roles = graph.runs[arm, seed]
        if not store.has(roles["score"]):
            missing.append(seed)
            continue
        for score in read_scores(store.artifact(roles["score"]) / "scores.json").values():
            protocol: Protocol = (score.name, score.encoder, score.weights, score.n, score.n_reference)
            protocol += (score.frames, score.resolution, roles["reference"])
            if score.value is not None:
                shown.setdefault(protocol, score)
                scores.setdefault(protocol, {})[seed] = score.value
    return Row(name, scores, settings_of(graph, arm, seeds[0]), tuple(missing))


def parts(name: str, specs: dict[str, Spec]) -> tuple[str, tuple[int, ...]]:
    """Arm and seeds of `SPEC:ARM` or `SPEC:ARM:SEED`."""
    spec_name, *rest = name.split(":")
    spec = specs[spec_name]
    if len(rest) not in (1, 2):
        like = f"{spec_name}:{spec.baseline}"
        raise AblateError(f"{name!r} is no run: expected SPEC:ARM or SPEC:ARM:SEED, such as {like}")
    if rest[0] not in spec.arms:
        raise AblateError(f"{spec_name} has no arm {rest[0]!r}; {nearest(rest[0], list(spec.arms))}")
    seeds = tuple(seed for seed in spec.seeds if len(rest) == 1 or str(seed) == rest[1])
    if not seeds:
        raise AblateError(f"{spec_name} has no seed {rest[1]!r}; it has {', '.join(map(str, spec.seeds))}")
    return rest[0], seeds


def label(protocol: Protocol, shown: dict[Protocol, Score]) -> str:
    """A column's heading: the metric, and what tells it from other columns of its name."""
    score = shown[protocol]
    text = f"{score.name} {ARROWS[score.direction]}"
    twins = [other for other in shown if other[0] == protocol[0]]
    if len(twins) == 1:
        return text
    return (
        f"{text} (n = {score.n}, {score.frames} frames, {score.resolution} px, reference {twins.index(protocol) + 1})"
    )


def places(protocol: Protocol, rows: list[Row]) -> int:
    """Digits after the point in a column."""
    values = [list(r.scores[protocol].values()) for r in rows if protocol in r.scores]
    return decimals([stdev(v) for v in values if len(v) > 1], [fmean(v) for v in values])


def score_panel(rows: list[Row], shown: dict[Protocol, Score]) -> Panel:
    """Means, one row a run."""
    cells = [(Cell(r.label), *(_mean(r, protocol, places(protocol, rows)) for protocol in shown)) for r in rows]
    return Panel("Mean ± standard deviation over seeds", ("Run", *(label(p, shown) for p in shown)), tuple(cells))


def _mean(r: Row, protocol: Protocol, digits: int) -> Cell:
    values = list(r.scores.get(protocol, {}).values())
    if not values:
        return Cell("–")
    text = number(fmean(values), digits)
    if len(values) > 1:
        text += f" ± {number(stdev(values), digits)} ({len(values)} seeds)"
    return Cell(text, value=fmean(values))


def difference_panel(rows: list[Row], shown: dict[Protocol, Score]) -> Panel:
    """Differences from the first run over the seeds that both have: a seed draws the same noise and prompts in both."""
    first, *others = rows
    cells = [(Cell(r.label), *(_difference(r, first, p, places(p, rows)) for p in shown)) for r in others]
    title = f"Difference from {first.label}, paired by seed [95 % interval]"
    return Panel(title, ("Run", *(label(p, shown) for p in shown)), tuple(cells))


def _difference(r: Row, first: Row, protocol: Protocol, digits: int) -> Cell:
    d = paired_difference(r.label, r.scores.get(protocol, {}), first.label, first.scores.get(protocol, {}))
    if d.mean is None:
        return Cell("–")
    return Cell(with_interval(d.mean, d.interval, digits), value=d.mean)


def settings_panel(rows: list[Row]) -> Panel:
    """The settings in which the runs differ, defaults included."""
    found = differing({r.label: r.settings for r in rows})
    texts = {name: {run: "–" if v is None else str(v) for run, v in values.items()} for name, values in found.items()}
    cells = [(Cell(name), *(Cell(values[r.label]) for r in rows)) for name, values in texts.items()]
    return Panel("Settings that differ", ("Setting", *(r.label for r in rows)), tuple(cells))
