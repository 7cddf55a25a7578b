"""What curation kept and dropped: the funnel of each arm, and the scores with the thresholds drawn in."""

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablations.report.findings import Findings
from ablations.report.result import Arm, FunnelStep
from ablations.report.style import shortened

WIDTH = 3.3
AXES = ("motion", "text_area", "aesthetics", "alignment")
MANY_FUNNELS = 6
LEAVING = "#d9d9d9"


def draw_funnel(findings: Findings) -> Figure | None:
    """Clips left after each predicate of each arm that has any."""
    arms = [arm for arm in findings.result.arms if arm.funnel]
    if not arms:
        return None
    if len(arms) > MANY_FUNNELS:
        return _kept_bars(arms, findings)
    heights = [len(arm.funnel) + 1 for arm in arms]
    figure = Figure(figsize=(WIDTH, 0.19 * sum(heights) + 0.36 * len(arms) + 0.2))
    panels = figure.subplots(len(arms), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for arm, panel in zip(arms, panels, strict=True):
        _funnel(panel, arm, findings.styles[arm.name].colour)
        panel.set_title(findings.styles[arm.name].label, loc="left")
    panels[-1].set_xlabel("clips")
    return figure


def _funnel(panel: Axes, arm: Arm, colour: str) -> None:
    total = arm.funnel[0].remaining + arm.funnel[0].removed_in_sequence
    labels = ["all clips", *(_step_label(step) for step in arm.funnel)]
    left = [total, *(step.remaining for step in arm.funnel)]
    gone = [0, *(step.removed_in_sequence for step in arm.funnel)]
    places = range(len(labels))
    panel.barh(places, left, color=colour, height=0.7)
    panel.barh(places, gone, left=left, color=LEAVING, hatch="////", edgecolor="white", linewidth=0, height=0.7)
    for place, (kept, removed) in enumerate(zip(left, gone, strict=True)):
        panel.text(kept + removed + 0.01 * total, place, f"{kept:,}", va="center", fontsize=6)
    panel.set_yticks(places, labels)
    panel.set_xlim(0, 1.14 * total)
    panel.set_ylim(len(labels) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    panel.xaxis.set_major_locator(MaxNLocator(4))


def _kept_bars(arms: list[Arm], findings: Findings) -> Figure:
    """What is left of all clips in the end, a bar an arm: the funnels of many arms would fill pages."""
    figure = Figure(figsize=(WIDTH, 0.19 * len(arms) + 0.4))
    panel = figure.subplots()
    totals = [arm.funnel[0].remaining + arm.funnel[0].removed_in_sequence for arm in arms]
    kept, colours = [arm.funnel[-1].remaining for arm in arms], [findings.styles[arm.name].colour for arm in arms]
    panel.barh(range(len(arms)), kept, color=colours, height=0.7)
    for place, count in enumerate(kept):
        panel.text(count + 0.01 * max(totals), place, f"{count:,}", va="center", fontsize=6)
    panel.set_yticks(range(len(arms)), [findings.styles[arm.name].label for arm in arms])
    panel.set_xlim(0, 1.14 * max(totals))
    panel.set_ylim(len(arms) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.set_xlabel("clips left after the last predicate")
    return figure


def _step_label(step: FunnelStep) -> str:
    return shortened(f"{step.axis}: {step.predicate.split(',')[0]}".replace("_", " "), 30)


def draw_histograms(findings: Findings) -> Figure | None:
    """The distribution of every score over all clips, with each arm's thresholds."""
    curation = findings.result.curation
    if curation is None or curation.table is None:
        return None
    table = pl.read_parquet(curation.table)
    axes = [axis for axis in AXES if axis in table.columns and table[axis].drop_nulls().len()]
    if not axes:
        return None
    rows = -(-len(axes) // 2)
    figure = Figure(figsize=(WIDTH, 1.25 * rows + 0.1))
    panels = figure.subplots(rows, 2, squeeze=False).ravel()
    for panel in panels[len(axes) :]:
        panel.axis("off")
    for axis, panel in zip(axes, panels, strict=False):
        _histogram(panel, axis, table[axis].drop_nulls().to_numpy(), findings)
    return figure


def _histogram(panel: Axes, axis: str, values: np.ndarray[Any, Any], findings: Findings) -> None:
    low, high = np.quantile(values, (0.002, 0.998))
    counts, edges = np.histogram(np.clip(values, low, high), bins=40, range=(low, high if high > low else low + 1))
    panel.stairs(counts, edges, fill=True, color="#9a9a9a")
    for place, arm in enumerate(findings.result.arms):
        style = findings.styles[arm.name]
        for step in arm.funnel:
            if step.axis == axis and step.threshold is not None:
                lower = step.predicate.startswith(("drop_lowest", "min"))
                dropped = (edges[0], step.threshold) if lower else (step.threshold, edges[-1])
                panel.axvspan(*dropped, facecolor="none", edgecolor="#555555", hatch="////", alpha=0.35, linewidth=0)
                panel.axvline(step.threshold, color=style.colour, linestyle=("-", "--", "-.", ":")[place % 4])
    spike = counts.max() > 0.5 * counts.sum()
    panel.set_yscale("log" if spike else "linear")
    panel.set_title(axis.replace("_", " ") + (" (log counts)" if spike else ""), loc="left")
    panel.tick_params(axis="y", which="both", left=False, labelleft=False)
    panel.spines["left"].set_visible(False)
    panel.xaxis.set_major_locator(MaxNLocator(4))
