"""`ablate index`: one page over all reports in a folder."""

import json
from pathlib import Path

from ablations.errors import AblateError
from ablations.report.build import PAGE, SUMMARY
from ablations.report.html import assets, environment

INDEX = "index.html"


def write_index(folder: Path) -> Path:
    """Write `index.html` into a folder of reports from the summary that each holds; returns the page."""
    reports = []
    for path in sorted([*folder.glob(f"[!.]*/{SUMMARY}"), *folder.glob(f"[!.]*/[!.]*/{SUMMARY}")]):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            reports.append({**facts, "address": f"{path.parent.relative_to(folder).as_posix()}/{PAGE}"})
        except (OSError, ValueError) as error:
            raise AblateError(f"{path} cannot be read ({error}); `ablate report` writes it again") from error
    if not reports:
        raise AblateError(f"no report in {folder.absolute()}: `ablate run SPEC` writes results/NAME")
    page: str = environment().get_template("index.html").render(reports=reports, **assets())
    out = folder / INDEX
    out.write_text(page, encoding="utf-8", newline="\n")
    return out
