"""Writing a whole report: every file is made beside its final place and moved there when all are done."""

import re
import shutil
from pathlib import Path

from ablations.report.findings import Findings
from ablations.report.result import AblationResult

PAGE = "report.html"
OURS = re.compile(r"figures/[a-z]+\.(png|pdf)|gallery/(real|[0-9]{2}-[a-z0-9-]*seed[0-9]+)\.(avif|webp)")
"""Files that an earlier report may have left and this one may not have; nothing else in the folder is touched."""


def write_report(result: AblationResult, out: Path, gallery_prompts: int = 8) -> Path:
    """Write tables, figures, gallery and page into the folder `out`, replacing an earlier report; returns the page.

    The same result gives the same bytes. A reader never sees half a file, and the page comes last. Files of other names
    in `out` are left alone.
    """
    out.mkdir(parents=True, exist_ok=True)
    work = out.parent / f".{out.name}.unfinished"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    try:
        _write_all(result, work, gallery_prompts)
        _publish(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out / PAGE


def _write_all(result: AblationResult, folder: Path, gallery_prompts: int) -> None:
    # Imported late: matplotlib and jinja2 take a second, which only a report should pay.
    from ablations.report import latex, markdown, spreadsheet
    from ablations.report.figures import draw_figures
    from ablations.report.gallery import write_gallery
    from ablations.report.html import render
    from ablations.report.tables import build_table

    findings = Findings(result)
    table = build_table(findings)
    (folder / "figures").mkdir()
    texts = {
        "table.md": markdown.to_markdown(table),
        "table.tex": latex.to_latex(table),
        "table_alone.tex": latex.WRAPPER,
        "table.csv": spreadsheet.runs_csv(findings),
        "comparisons.csv": spreadsheet.comparisons_csv(findings),
        "cost.csv": spreadsheet.cost_csv(result),
    }
    plots = draw_figures(findings, folder / "figures")
    gallery = write_gallery(findings, folder, gallery_prompts)
    texts[PAGE] = render(findings, table, plots, gallery)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def _publish(work: Path, out: Path) -> None:
    files = sorted((path.relative_to(work) for path in work.rglob("*") if path.is_file()), key=_page_last)
    for name in files:
        (out / name).parent.mkdir(exist_ok=True)
        (work / name).replace(out / name)
    for folder in ("figures", "gallery"):
        for path in (out / folder).glob("*"):
            name = path.relative_to(out)
            if name not in files and OURS.fullmatch(name.as_posix()):
                path.unlink()


def _page_last(name: Path) -> tuple[bool, str]:
    return name.name == PAGE, name.as_posix()
