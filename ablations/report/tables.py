"""One table model, many outputs: Markdown, LaTeX and HTML lay out the same cells.

No cell, caption or note holds a time or a path, so that tables of repeated runs are equal to the byte. What things cost
is a file of its own.
"""

from dataclasses import dataclass
from math import isnan
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from ablations.report.by_clip import ClipDifference
from ablations.report.findings import Findings
from ablations.report.notes import caption, notes
from ablations.report.preference import Preference
from ablations.report.wording import number, percent, with_interval

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Cell:
    """One piece of text; `bold` where the verdict allows it. `value` is the number that the page sorts by."""

    text: str
    bold: bool = False
    value: float | None = None


@dataclass(frozen=True)
class Panel:
    """A rectangle of cells. The first column is text, the others are figures."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Table:
    """What every format shows: the finding in words, two panels, and what a reader must know to trust them."""

    name: str
    question: str
    verdicts: tuple[str, ...]
    caption: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...]


def build_table(findings: Findings) -> Table:
    """The table model of an ablation."""
    result = findings.result
    panels = [score_panel(findings)]
    if findings.others:
        panels.append(difference_panel(findings))
    if findings.clip_differences:
        panels.append(clip_panel(findings))
    if findings.preference:
        panels.append(preference_panel(findings.preference, findings))
    return Table(result.name, result.question, findings.verdicts, caption(findings), tuple(panels), notes(findings))


def score_panel(findings: Findings) -> Panel:
    """Mean ± standard deviation over seeds, one row an arm."""
    result = findings.result
    header = ("Arm", "Clips", *(findings.label(metric) for metric in result.metrics))
    rows = []
    for arm in result.arms:
        cells = [Cell(arm.name), Cell("–" if arm.kept is None else str(arm.kept), value=arm.kept)]
        for metric in result.metrics:
            bold = metric == result.primary and arm.name in findings.leaders
            values = findings.values[metric][arm.name]
            cells.append(Cell(_mean(findings, metric, arm.name), bold, fmean(values) if values else None))
        rows.append(tuple(cells))
    return Panel("Mean ± standard deviation over seeds", header, tuple(rows))


def _mean(findings: Findings, metric: str, arm: str) -> str:
    values, places = findings.values[metric][arm], findings.places(metric)
    if not values:
        return "–"
    text = number(fmean(values), places)
    if len(values) > 1:
        text += f" ± {number(stdev(values), places)}"
    return text if len(values) == len(findings.result.seeds) else f"{text} (n = {len(values)})"


def difference_panel(findings: Findings) -> Panel:
    """Paired differences with intervals, and the verdict on the primary metric; one row an arm but the baseline."""
    result = findings.result
    others = [metric for metric in result.metrics if metric != result.primary]
    header = ("Arm", findings.label(result.primary), "Verdict", *(findings.label(metric) for metric in others))
    rows = []
    for arm, comparison in findings.comparisons.items():
        decided = comparison.verdict in ("better", "worse")
        first = [Cell(arm), _difference(findings, result.primary, arm), Cell(comparison.verdict, decided)]
        rows.append((*first, *(_difference(findings, metric, arm) for metric in others)))
    return Panel(f"Difference from {result.baseline}, paired by seed [interval]", header, tuple(rows))


def _difference(findings: Findings, metric: str, arm: str) -> Cell:
    difference = findings.differences[metric][arm]
    primary = metric == findings.result.primary
    interval = findings.comparisons[arm].interval if primary else difference.interval
    places = findings.places(metric)
    if difference.mean is None:
        return Cell("–")
    mark = stars(findings.comparisons[arm].p_holm) if primary else ""
    text = with_interval(difference.mean, interval, places, mark)
    return Cell(text, value=difference.mean)


def clip_panel(findings: Findings) -> Panel:
    """Differences clip by clip with intervals clustered by source, of the metrics that have values per clip."""
    found = findings.clip_differences
    header = ("Arm", *(findings.label(metric) for metric in found), "Clips", "Source videos")
    rows = []
    for arm in findings.others:
        own = [found[metric].get(arm) for metric in found]
        sizes = [(d.clips, d.sources) for d in own if d]
        cells = [_clip_difference(findings.places(metric), d) for metric, d in zip(found, own, strict=True)]
        counts = [Cell(str(max(column)), value=max(column)) for column in zip(*sizes, strict=True)] or [Cell("–")] * 2
        rows.append((Cell(arm), *cells, *counts))
    title = f"Difference from {findings.result.baseline}, clip by clip [95 % interval clustered by source video]"
    return Panel(title, header, tuple(rows))


def _clip_difference(places: int, difference: ClipDifference | None) -> Cell:
    if difference is None:
        return Cell("–")
    return Cell(with_interval(difference.mean, difference.interval, places), value=difference.mean)


def stars(p_holm: float | None) -> str:
    """Marks of significance after Holm's correction: one below 5 %, two below 1 %, three below 0.1 %."""
    return "" if p_holm is None else "*" * sum(p_holm < level for level in (0.05, 0.01, 0.001))


def preference_panel(found: Preference, findings: Findings) -> Panel:
    """Elo by question, Bradley–Terry strength and share of votes won, with 95 % intervals; one row an arm."""
    names = {name: "" if name == "" else f", {name}" for name in found.elo}
    main = next(iter(found.elo))
    header = ("Arm", *(f"Elo{text}" for text in names.values()), f"Bradley–Terry{names[main]}", "Votes won")
    won = (found.wins.fillna(0) * found.shown).sum(axis=1) / found.shown.sum(axis=1)
    rows = []
    for arm in (arm.name for arm in findings.result.arms):
        cells = [_rating(frame, arm) for frame in (*found.elo.values(), found.bradley_terry.get(main))]
        share = Cell(percent(round(won[arm], 3)), value=float(won[arm])) if arm in won.index else Cell("–")
        rows.append((Cell(arm), *cells, share))
    return Panel("People's preference [95 % interval]", header, tuple(rows))


def _rating(frame: "pd.DataFrame | None", arm: str) -> Cell:
    if frame is None or arm not in frame.index:
        return Cell("–")
    rating, low, high = (None if isnan(value) else float(value) for value in frame.loc[arm])
    if low is None or high is None:
        return Cell(number(rating, 0), value=rating)
    return Cell(f"{number(rating, 0)} [{number(low, 0)}, {number(high, 0)}]", value=rating)
