"""Writing a whole report: every file is made beside its final place and moved there when all are done."""

import contextlib
import json
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from ablations.report.findings import Findings

PAGE = "report.html"
SUMMARY = "summary.json"
"""What `ablate index` shows of a report."""
OURS = re.compile(
    r"table\.(md|tex|csv)|table_alone\.tex|(comparisons|cost)\.csv|summary\.json|report\.html"
    r"|figures/[a-z]+\.(png|pdf)|gallery/(real|extreme-[a-z0-9-]+|[0-9]{2}-[a-z0-9-]*seed[0-9]+)\.(avif|webp)"
)
"""Files that an earlier report may have left; nothing else in the folder is touched."""


def write_report(findings: Findings, out: Path, gallery_prompts: int = 8) -> Path:
    """Write tables, figures, gallery and page into the folder `out`, replacing an earlier report; returns the page.

    The same result gives the same bytes. A reader never sees half a file, and the page comes last. Files of other names
    in `out` are left alone.
    """
    out.mkdir(parents=True, exist_ok=True)
    # a name of its own: two runs of one spec that share their stages come to their report at the same moment
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".unfinished", dir=out.parent))
    try:
        _write_all(findings, work, gallery_prompts)
        _publish(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out / PAGE


def _write_all(findings: Findings, folder: Path, gallery_prompts: int) -> None:
    # Imported late: matplotlib and jinja2 take a second, which only a report should pay.
    from ablations.report import latex, markdown, spreadsheet
    from ablations.report.extremes import write_extremes
    from ablations.report.figures import draw_figures
    from ablations.report.gallery import write_gallery
    from ablations.report.html import render
    from ablations.report.tables import build_table

    table = build_table(findings)
    (folder / "figures").mkdir()
    texts = {
        "table.md": markdown.to_markdown(table),
        "table.tex": latex.to_latex(table),
        "table_alone.tex": latex.WRAPPER,
        "table.csv": spreadsheet.runs_csv(findings),
        "comparisons.csv": spreadsheet.comparisons_csv(findings),
        SUMMARY: summary(findings),
        "cost.csv": spreadsheet.cost_csv(findings.result),
    }
    plots = draw_figures(findings, folder / "figures")
    gallery = write_gallery(findings, folder, gallery_prompts)
    if gallery:
        gallery = replace(gallery, extremes=write_extremes(findings, folder))
    texts[PAGE] = render(findings, table, plots, gallery)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def summary(findings: Findings) -> str:
    """The question and the verdicts, for the page over all ablations."""
    result, words = findings.result, zip(findings.comparisons.values(), findings.verdicts, strict=True)
    facts = {
        "name": result.name,
        "question": result.question,
        "paper": result.paper,
        "scale": result.scale,
        "primary": findings.label(result.primary),
        "arms": [arm.name for arm in result.arms],
        "seeds": list(result.seeds),
        "missing": sum(run.missing is not None for run in result.runs),
        "verdicts": [{"verdict": comparison.verdict, "sentence": sentence} for comparison, sentence in words],
    }
    return json.dumps(facts, ensure_ascii=False, indent=1) + "\n"


def _publish(work: Path, out: Path) -> None:
    files = sorted((path.relative_to(work) for path in work.rglob("*") if path.is_file()), key=_page_last)
    for name in files:
        (out / name).parent.mkdir(exist_ok=True)
        (work / name).replace(out / name)
    for name in _own(out):
        if name not in files:
            (out / name).unlink()


def remove_report(out: Path) -> None:
    """Remove the report in a folder, and the folder if nothing else is in it."""
    for name in _own(out):
        (out / name).unlink()
    for folder in (out / "figures", out / "gallery", out):
        with contextlib.suppress(OSError):  # not there, or not empty
            folder.rmdir()


def _own(out: Path) -> list[Path]:
    """The files of a folder's report, from the folder on."""
    names = [path.relative_to(out) for folder in ("", "figures", "gallery") for path in (out / folder).glob("*")]
    return [name for name in names if OURS.fullmatch(name.as_posix())]


def _page_last(name: Path) -> tuple[bool, str]:
    return name.name == PAGE, name.as_posix()
