"""Which arm is which, below a figure."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablations.report.findings import Findings


def legend(figure: Figure, findings: Findings, *, line: bool = False) -> None:
    """Every arm with its marker (and line), in one row if that fits and two columns if not."""
    handles = [
        Line2D([], [], color=s.colour, marker=s.marker, linestyle=s.line if line else "", label=s.label, markersize=4)
        for s in findings.styles.values()
    ]
    one_line = len(handles) <= 3 and sum(len(style.label) for style in findings.styles.values()) <= 40
    columns = len(handles) if one_line else min(2, len(handles))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.2)
