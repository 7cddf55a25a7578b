"""The commands over a clip table: filter, inspect."""

from pathlib import Path
from typing import Any

from rich.table import Table

from ablations.console import console
from ablations.document import Document, validate
from ablations.errors import AblateError
from svd_core.curation.settings import Keep


def filter_table(folder: Path, keep: Path, out: Path) -> None:
    """Write the subset that a file of predicates keeps into `out` and print its funnel."""
    from svd_core.data.subset import write_subset

    table = clip_table(folder)
    document = Document(keep)
    predicates = validate(Keep, document.data, {(): (document, ())})
    out.mkdir(parents=True, exist_ok=True)
    try:
        report = write_subset(predicates, table, out)
    except ValueError as error:
        raise AblateError(str(error)) from error
    show_funnel(report)
    console.print(f"subset: {out}")


def show_funnel(report: dict[str, Any]) -> None:
    """Print what each predicate removes alone, and what those before it leave for it to remove."""
    grid = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("axis", "predicate"):
        grid.add_column(name)
    for name in ("threshold", "removes alone", "in sequence", "remaining"):
        grid.add_column(name, justify="right")
    grid.add_row("all clips", "", "", "", "", f"{report['clips']:,}")
    for step in report["steps"]:
        threshold = "" if step["threshold"] is None else f"{step['threshold']:.4g}"
        counts = (f"{step[name]:,}" for name in ("removed_alone", "removed_in_sequence", "remaining"))
        grid.add_row(step["axis"], step["predicate"], threshold, *counts)
    console.print(grid)


def write_page(folder: Path, subset: Path | None, out: Path) -> None:
    """Write the inspection page of a clip table."""
    import polars as pl

    from ablations.report.inspection import inspect

    table = clip_table(folder)
    if subset is not None and not (subset / "funnel.json").is_file():
        raise AblateError(f"{subset} holds no funnel.json: it is no subset that `ablate filter` wrote")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        inspect(folder, subset or folder / "subset", out)
    except pl.exceptions.PolarsError as error:
        raise AblateError(f"{table}: no clip table that can be read ({error}); `ablate curate` writes one") from error
    console.print(f"page: {out}")


def clip_table(folder: Path) -> Path:
    """The clip table of a folder. Raises AblateError with what was expected."""
    table = folder / "clips.parquet"
    if not table.is_file():
        raise AblateError(f"{folder} holds no clips.parquet: expected a folder that `ablate curate` wrote")
    return table
