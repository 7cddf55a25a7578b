"""All questions at a glance: `ablate list`, and `results/README.md` with the paper's claims and what was measured."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from ablations.artifacts import Store
from ablations.budget import Prices, missing_nodes
from ablations.console import console, tell
from ablations.plan import plan
from ablations.report.wording import four_digits
from ablations.run import RESULTS, run_spec
from ablations.search.study import load as load_study
from ablations.spec import Spec, available, load
from ablations.status import duration

VERDICTS = "comparisons.csv"


def run_all(scale: str, cluster: str) -> int:
    """Run every packaged spec, one after another: what they share is made once. Returns 1 if any failed."""
    status = max(run_spec(name, scale, cluster, None) for name in available("specs"))
    console.print(f"overview: {write_overview()}")
    return status


def show_list(files: Sequence[str]) -> None:
    """Print packaged specs and the given spec files with question, arms, cost and last verdict; then all else."""
    grid = Table("spec", "question", "arms", "seeds", "cost", "last verdict", box=None, header_style="bold")
    for name in [*available("specs"), *files]:
        spec = load(name)
        verdicts = [f"{row['arm']} {row['verdict']}" for row in primary_rows(RESULTS / spec.name)]
        arms = f"{len(spec.arms)}"
        grid.add_row(name, spec.question, arms, f"{len(spec.seeds)}", cost(spec), ", ".join(verdicts) or "none yet")
    console.print(grid)
    console.print("cost: core time at scale laptop, of stages that are not in the store", style="dim")
    for name in available("studies"):
        tell(f"study {name}", "bold", f": {load_study(name).file.question}")
    for kind in ("recipes", "scales", "clusters"):
        console.print(f"{kind}: {', '.join(available(kind))}")


def cost(spec: Spec) -> str:
    """Core time of what is missing; unknown if the scale has no measured cost of a stage."""
    graph = plan(spec)
    missing = missing_nodes(graph, Store())
    if not {node.stage for node in missing} <= spec.core_seconds.keys():
        return "unknown"
    return duration(Prices(spec.core_seconds, spec.base).total(missing, graph)) if missing else "nothing"


def primary_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of a report's `comparisons.csv` that carry its verdicts; none where there is no report."""
    path = folder / VERDICTS
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["role"] == "primary"]


def write_overview(folder: Path = RESULTS) -> Path:
    """Write `README.md` into the results folder from the reports that are in it; returns its path."""
    lines = [
        "# Results",
        "",
        "Written by `ablate run` from the `comparisons.csv` of each report: do not edit. Differences are the arm's "
        "from the baseline, paired by seed; the interval is at the level of the arm's own Holm step.",
        "",
        "| ablation | in the paper | measured here |",
        "| --- | --- | --- |",
    ]
    packaged = available("specs")
    for name in packaged:
        spec = load(name)
        question = f"[{name}]({name}/)" if (folder / name / VERDICTS).exists() else name
        measured = "<br>".join(filter(None, [found(folder / name), *at_other_scales(folder, name)]))
        limits = f"<br>*{spec.limits}*" if spec.limits else ""
        lines.append(
            f"| {question}: {spec.question} | {spec.paper or '–'} | {measured or 'no committed results'}{limits} |"
        )
    reports = [path.parent.name for path in folder.glob(f"[!.]*/{VERDICTS}")]  # one being written begins with a dot
    others = sorted(name for name in reports if name not in packaged)
    lines += [f"| [{name}]({name}/) | – | {found(folder / name)} |" for name in others]
    lines += ["", "## Searches", "", "| study | in the paper | its winner, retrained |", "| --- | --- | --- |"]
    lines += [searched(folder, name) for name in available("studies")]
    folder.mkdir(exist_ok=True)
    path = folder / "README.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return path


def searched(folder: Path, name: str) -> str:
    """A study's row: what its winner came to against the incumbent, if it asks for that."""
    study = load_study(name).file
    there = (folder / name).is_dir()
    nothing = "in its report; nothing was retrained" if there else "no committed results"
    question = f"[{name}]({name}/)" if there else name
    return f"| {question}: {study.question} | {study.paper or '–'} | {found(folder / name / 'winner') or nothing} |"


def found(folder: Path) -> str:
    """Every arm's difference with interval and verdict, in words for a table cell; empty where there is no report."""
    return "<br>".join(one_finding(row) for row in primary_rows(folder))


def at_other_scales(folder: Path, name: str) -> Iterator[str]:
    """The findings of each further scale's report, which `results/SCALE/NAME` holds."""
    for path in sorted(folder.glob(f"[!.]*/{name}/{VERDICTS}")):
        scale = path.parents[1].name
        yield f"[at scale {scale}]({scale}/{name}/): {found(path.parent)}"


def one_finding(row: dict[str, str]) -> str:
    """One arm against the baseline: verdict, difference and interval, or why there is none."""
    words = f"**{row['verdict']}**: {row['arm']} against {row['baseline']}"
    if not row["mean_difference"]:
        return f"{words}, {row['reason']}"
    words += f", {row['metric']} {four_digits(float(row['mean_difference']))}"
    if not row["holm_low"]:
        return f"{words} ({row['reason']})"
    level = f"{100 * float(row['holm_level']):.4g} %"
    low, high = (four_digits(float(row[end])) for end in ("holm_low", "holm_high"))
    return f"{words} [{low}, {high}] at {level}, {row['pairs']} seeds"
