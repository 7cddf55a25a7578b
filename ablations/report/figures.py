"""Figures for a column of a paper: 3.3 inches wide, PNG and PDF, the same bytes for the same numbers.

Every figure is a function from the findings to a matplotlib Figure, or to null where there is nothing to draw.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType
from PIL import Image

from ablations.report.curation_figures import draw_funnel, draw_histograms
from ablations.report.findings import Findings
from ablations.report.legend import legend
from ablations.report.preference_figures import draw_elo
from ablations.report.strips import draw_orbits, draw_strips
from ablations.report.style import ArmStyle, two_lines
from ablations.report.trade_figures import draw_cost, draw_kept, draw_steps
from ablations.report.training_figures import draw_loss, draw_noise
from ablations.statistics import Interval

WIDTH = 3.3
"""Inches: one column of a two-column paper."""
DPI = 200

MANY_ARMS = 8

LOOK: dict[RcKeyType, Any] = {
    "font.size": 7,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,  # TrueType: many venues refuse Type 3 fonts
    "text.parse_math": False,  # a dollar sign in an arm's name is a dollar sign
    "savefig.dpi": DPI,
}


@dataclass(frozen=True)
class Plot:
    """A figure on disk, under `name`.png and .pdf, with what it shows in words."""

    name: str
    title: str
    text: str


def draw_figures(findings: Findings, folder: Path) -> list[Plot]:
    """Write every figure that has something to show into `folder`."""
    plots = []
    with mpl.rc_context(LOOK):
        for plot, draw in FIGURES.items():
            figure = draw(findings)
            if figure is not None:
                save(figure, folder, plot.name)
                plots.append(plot)
    return plots


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `name`.png and .pdf, without dates and versions in them. Plots without pictures take 256 colours as PNG."""
    figure.draw_without_rendering()  # lays the figure out, once for both files
    figure.set_layout_engine("none")
    drawn = BytesIO()
    figure.savefig(drawn, format="png")
    picture = Image.open(drawn).convert("RGB")
    plain = not any(axes.images for axes in figure.axes)
    (picture.quantize(256) if plain else picture).save(folder / f"{name}.png", optimize=True, dpi=(DPI, DPI))
    figure.savefig(folder / f"{name}.pdf", metadata={"Creator": None, "Producer": None, "CreationDate": None})


def draw_effects(findings: Findings) -> Figure | None:
    """Forest plot: paired differences with intervals and every seed, one panel a metric, the primary first."""
    result = findings.result
    metrics = [m for m in _primary_first(findings) if any(d.seeds for d in findings.differences[m].values())]
    rows = len(findings.others)
    if rows > MANY_ARMS:  # the whole family on one page is worth more than the descriptive metrics
        metrics = [metric for metric in metrics if metric == result.primary]
    if not metrics:
        return None
    kinds = {metric: "primary" if metric == result.primary else "descriptive" for metric in metrics}
    titles = {metric: two_lines(f"{findings.label(metric)} ({kind})", 34) for metric, kind in kinds.items()}
    second = 0.1 * sum("\n" in title for title in titles.values())
    figure = Figure(figsize=(WIDTH, 0.35 + second + len(metrics) * (0.42 + 0.21 * rows)))
    panels = figure.subplots(len(metrics), 1, squeeze=False)[:, 0]
    for metric, panel in zip(metrics, panels, strict=True):
        primary = metric == result.primary
        panel.axvline(0, color="black", linewidth=0.6)
        for place, arm in enumerate(findings.others):
            comparison, style = findings.comparisons[arm], findings.styles[arm]
            interval = comparison.interval if primary else findings.differences[metric][arm].interval
            _effect(panel, place, findings.differences[metric][arm].values, interval, style)
            if primary:
                panel.annotate(comparison.verdict, (1.02, place), xycoords=("axes fraction", "data"), va="center")
        panel.set_yticks(range(rows), [findings.styles[arm].label for arm in findings.others])
        panel.set_ylim(rows - 0.4, -0.6)
        panel.tick_params(axis="y", length=0)
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.set_title(titles[metric], loc="left")
    panels[-1].set_xlabel(f"difference from {findings.styles[result.baseline].label}, paired by seed")
    return figure


def _primary_first(findings: Findings) -> list[str]:
    return sorted(findings.result.metrics, key=lambda metric: metric != findings.result.primary)


def _effect(panel: Axes, place: int, values: tuple[float, ...], interval: Interval | None, style: ArmStyle) -> None:
    panel.plot(values, [place + 0.22] * len(values), "o", mfc="none", mec=style.colour, mew=0.7, markersize=2.8)
    if interval:
        panel.plot((interval.low, interval.high), (place, place), color=style.colour, solid_capstyle="butt")
    if values:
        panel.plot(fmean(values), place, style.marker, color=style.colour, markersize=4.5)


def draw_scores(findings: Findings) -> Figure | None:
    """Every seed of every arm, one small panel a metric; thin lines join the runs that share a seed."""
    result = findings.result
    metrics = [m for m in _primary_first(findings) if any(findings.values[m].values())]
    if not metrics:
        return None
    columns = min(2, len(metrics))
    rows = -(-len(metrics) // columns)
    figure = Figure(figsize=(WIDTH, 1.35 * rows + 0.16 * -(-len(result.arms) // 2)))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(metrics) :]:
        panel.axis("off")
    for metric, panel in zip(metrics, panels, strict=False):
        scores = result.scores(metric)
        for seed in result.seeds:
            line = [np.nan if (value := scores[arm][seed]) is None else value for arm in findings.styles]
            panel.plot(range(len(line)), line, color="#bbbbbb", linewidth=0.6, zorder=1)
        for place, (arm, style) in enumerate(findings.styles.items()):
            values = findings.values[metric][arm]
            panel.plot([place] * len(values), values, style.marker, color=style.colour, mfc="white", markersize=3.5)
            if values:
                panel.hlines(fmean(values), place - 0.3, place + 0.3, color=style.colour, linewidth=1.8, zorder=3)
        panel.set_xlim(-0.6, len(result.arms) - 0.4)
        panel.set_xticks([])
        panel.yaxis.set_major_locator(MaxNLocator(4))
        title = two_lines(findings.label(metric), 26)
        panel.set_title(title, loc="left", fontsize=7 if max(map(len, title.split("\n"))) < 22 else 6)
    legend(figure, findings)
    return figure


FIGURES: dict[Plot, Callable[[Findings], Figure | None]] = {
    Plot(
        "effects",
        "Paired effects",
        "Difference of each arm from the baseline: mean (filled), interval (bar) and every paired seed (hollow). The "
        "primary metric's intervals are Holm-adjusted and carry the verdict; the others are unadjusted 95 % intervals.",
    ): draw_effects,
    Plot(
        "scores",
        "Scores by seed",
        "Every run (hollow) and the mean over seeds (bar). Grey lines join the runs that share a seed.",
    ): draw_scores,
    Plot(
        "steps",
        "Primary metric against training",
        "Arms that differ only in how long they train: mean over seeds, with the range between them.",
    ): draw_steps,
    Plot(
        "strips",
        "Sampled frames",
        "The same prompts and the same seed in every arm, below a real clip of the prompt.",
    ): draw_strips,
    Plot(
        "orbits",
        "Orbits",
        "The same objects and the same seed in every arm, below the true views; degrees are the camera's azimuth. The "
        "first view is given to the model.",
    ): draw_orbits,
    Plot(
        "elo",
        "People's preference",
        "Elo (K = 1, start 1000, mean of 1000 orders) with 95 % intervals over prompts and raters, by question.",
    ): draw_elo,
    Plot(
        "funnel",
        "Curation funnel",
        "Clips left after each predicate in sequence; hatched is what the predicate takes away.",
    ): draw_funnel,
    Plot(
        "histograms",
        "Scores of all clips",
        "Every axis with the arms' thresholds in the arms' colours; hatched is what they drop.",
    ): draw_histograms,
    Plot(
        "kept",
        "Kept share against quality",
        "Share of all clips that an arm trains on, and its primary metric: mean and range over seeds.",
    ): draw_kept,
    Plot(
        "cost",
        "Cost against quality",
        "Process time from the corpus to the score of one run, shared stages included, and the primary metric.",
    ): draw_cost,
    Plot(
        "loss",
        "Training loss",
        "Mean over seeds, with the range between them. Arms see different clips: a lower loss is not a better model.",
    ): draw_loss,
    Plot(
        "noise",
        "Loss by noise level",
        "The training loss within six ranges of ln σ, mean over seeds. An arm is left out if it was trained before "
        "this was logged; a range, if no sample fell there.",
    ): draw_noise,
}
