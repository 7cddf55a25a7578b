"""A table as text, in the format that somebody asks for."""

import csv
import io
from collections.abc import Callable, Mapping

from ablations.report.html import table_page
from ablations.report.latex import to_latex
from ablations.report.markdown import to_markdown
from ablations.report.tables import Table


def to_csv(table: Table) -> str:
    """The cells as they stand in the other formats, one panel below the other, without caption and notes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for place, panel in enumerate(table.panels):
        writer.writerows([[]] if place else [])
        writer.writerow(panel.header)
        writer.writerows([cell.text for cell in row] for row in panel.rows)
    return text.getvalue()


FORMATS: Mapping[str, Callable[[Table], str]] = {
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "html": table_page,
}


def as_text(table: Table, format_name: str) -> str:
    """`table` in a format of `FORMATS`."""
    return FORMATS[format_name](table)
