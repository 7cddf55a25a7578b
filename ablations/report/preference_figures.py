"""Ratings of people's preference, drawn."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablations.report.findings import Findings

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 3.3


def draw_elo(findings: Findings) -> Figure | None:
    """Elo with intervals, one panel a question, best arm first."""
    found = findings.preference
    if found is None:
        return None
    rows = len(next(iter(found.elo.values())))
    figure = Figure(figsize=(WIDTH, 0.35 + len(found.elo) * (0.36 + 0.19 * rows)))
    panels = figure.subplots(len(found.elo), 1, squeeze=False, sharex=True)[:, 0]
    for (question, frame), panel in zip(found.elo.items(), panels, strict=True):
        _ratings(panel, frame.sort_values("rating", ascending=False), findings)
        panel.set_title(question or "preference", loc="left")
    panels[-1].set_xlabel("Elo, with 95 % intervals")
    panels[-1].xaxis.set_major_locator(MaxNLocator(5))
    return figure


def _ratings(panel: Axes, frame: "pd.DataFrame", findings: Findings) -> None:
    panel.axvline(1000, color="black", linewidth=0.6)
    for place, (arm, row) in enumerate(frame.iterrows()):
        style = findings.styles[str(arm)]
        panel.plot((row["low"], row["high"]), (place, place), color=style.colour, solid_capstyle="butt")
        panel.plot(row["rating"], place, style.marker, color=style.colour, markersize=4.5)
    panel.set_yticks(range(len(frame)), [findings.styles[str(arm)].label for arm in frame.index])
    panel.set_ylim(len(frame) - 0.4, -0.6)
    panel.tick_params(axis="y", length=0)
