"""The page: the verdict in words first, then what it rests on. One file that asks for nothing from outside."""

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ablations.report.findings import Findings
from ablations.report.gallery import Gallery
from ablations.report.result import AblationResult
from ablations.report.tables import Table
from ablations.report.wording import number, percent, precise
from ablations.statistics import Comparison

if TYPE_CHECKING:
    from ablations.report.figures import Plot

HERE = Path(__file__).parent


def table_page(table: Table) -> str:
    """A page that holds a table alone."""
    page: str = environment().get_template("table.html").render(table=table, **assets())
    return page


def environment(folder: Path = HERE) -> Environment:
    """Templates of `folder` and of this one. Every text is escaped, and a name that is not given is an error."""
    made = Environment(
        loader=FileSystemLoader([folder, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(duration=duration, share=share, json=compact, breakable=breakable)
    return made


def assets() -> dict[str, str]:
    """Style and script as every page holds them, and the hash by which its policy knows the script."""
    script = (HERE / "page.js").read_text(encoding="utf-8")
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"css": (HERE / "page.css").read_text(encoding="utf-8"), "script": script, "script_hash": script_hash}


def render(findings: Findings, table: Table, plots: "list[Plot]", gallery: Gallery | None) -> str:
    """The page's HTML. Every text is escaped; figures and gallery are files beside it."""
    result = findings.result
    template = environment().get_template("page.html")
    page: str = template.render(
        result=result,
        table=table,
        plots={plot.name: plot for plot in plots},
        gallery=gallery,
        styles=findings.styles,
        verdicts=list(zip(findings.comparisons.values(), findings.verdicts, strict=True)),
        evidence=[evidence(c, findings.places(result.primary)) for c in findings.comparisons.values()],
        primary=findings.label(result.primary),
        missing=missing(result),
        preference=findings.preference,
        **assets(),
    )
    return page


def evidence(comparison: Comparison, places: int) -> tuple[str, ...]:
    """One row of the table behind the verdicts."""
    d, interval = comparison.difference, comparison.interval
    if interval is None:
        return (
            d.arm,
            str(len(d.seeds)),
            precise(d.mean, places, signed=True),
            "–",
            "–",
            "–",
            "–",
            "–",
            comparison.verdict,
        )
    low, high = (precise(end, places, signed=True) for end in (interval.low, interval.high))
    settle = comparison.seeds_to_settle
    return (
        d.arm,
        str(len(d.seeds)),
        precise(d.mean, places, signed=True),
        f"[{low}, {high}] at {percent(interval.level)}",
        probability(d.p_value),
        probability(comparison.p_holm),
        precise(comparison.detectable, places),
        "–" if comparison.verdict != "inconclusive" else str(settle) if settle else "> 1000",
        comparison.verdict,
    )


def probability(p: float | None) -> str:
    """Two significant digits, and never zero."""
    return "–" if p is None else f"{p:.2g}" if p >= 0.0001 else "< 0.0001"


def missing(result: AblationResult) -> list[tuple[str, int, str]]:
    """Arm, seed and reason of every run without scores."""
    return [(run.arm, run.seed, run.missing) for run in result.runs if run.missing]


def duration(seconds: float | None) -> str:
    """12 s, 3 min 05 s or 2 h 07 min."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def share(value: float | None) -> str:
    """Three digits of a share such as precision."""
    return number(value, 3)


def breakable(name: str) -> Markup:
    """A name that may be broken after its underscores."""
    return Markup("_<wbr>").join(name.split("_"))


def compact(value: object) -> str:
    """An override as one line of JSON."""
    return json.dumps(value, ensure_ascii=False, default=str)
