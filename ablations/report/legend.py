"""Which arm is which, below a figure."""

from collections.abc import Collection

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablations.report.findings import Findings


def legend(figure: Figure, findings: Findings, *, line: bool = False, arms: Collection[str] | None = None) -> None:
    """Every arm, or `arms`, with its marker (and line), in one row if that fits and two columns if not."""
    styles = [style for arm, style in findings.styles.items() if arms is None or arm in arms]
    handles = [
        Line2D([], [], color=s.colour, marker=s.marker, linestyle=s.line if line else "", label=s.label, markersize=4)
        for s in styles
    ]
    one_line = len(handles) <= 3 and sum(len(style.label) for style in styles) <= 40
    columns = len(handles) if one_line else min(2, len(handles))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.2)
