"""A page by which a person can judge where a threshold should lie: what every score looks like, from lowest to highest.

One file that asks for nothing from outside: histograms are SVG, clips are sheets of frames that CSS moves through.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ablations.artifacts import write_text
from ablations.report.histogram import Cut, Histogram, histogram
from ablations.report.html import environment
from ablations.report.previews import Sheet, sheets
from svd_core.curation.table import AXES, SCORES

HERE = Path(__file__).parent
SHOWN = 6
"""Clips in a row."""
REASONS = 8
"""Of the reasons why sources and clips were rejected, the most frequent ones."""


@dataclass(frozen=True)
class Shown:
    """One clip in a row: its value of the score, the share of clips below it, and how the subset judges it."""

    clip: dict[str, Any]
    value: float
    below: float
    verdict: str
    sheet: Sheet | None


@dataclass(frozen=True)
class Axis:
    """One score: how it was measured, how it is spread, and rows of clips by title."""

    name: str
    method: str
    scored: int
    missing: int
    spread: Histogram
    rows: dict[str, list[Shown]]


Predicates = dict[str, str]
"""Those that are no bounds, by what they look at."""
Choice = list[tuple[int, float, float]]
"""A row of clips: their place in the table, value, and share of clips below."""


def inspect(folder: Path, subset: Path, out: Path) -> None:
    """Write the page `out` for `folder`/clips.parquet; thresholds and funnel are those of `subset`, if it is there.

    The same table gives the same bytes.
    """
    table = pl.scan_parquet(folder / "clips.parquet")
    clips = table.filter(pl.col("error").is_null())
    funnel = json.loads((subset / "funnel.json").read_text()) if (subset / "funnel.json").exists() else None
    values = {axis: clips.select(pl.col(axis).cast(pl.Float64)).collect().to_series().to_numpy() for axis in SCORES}
    steps = funnel["steps"] if funnel else []
    cuts = {axis: thresholds(funnel, axis) for axis in SCORES}
    bounds = {axis: thresholds(funnel, axis) for axis in AXES}
    others = {step["axis"]: step["predicate"] for step in steps if step["axis"] not in AXES}
    chosen = {axis: choose(values[axis], cuts[axis]) for axis in SCORES}
    described = _described(clips, {place for rows in chosen.values() for row in rows.values() for place, _, _ in row})
    kept = _kept(subset, described) if funnel else None
    verdicts = {place: _verdict(clip, kept, bounds, others) for place, clip in described.items()}
    pictures = sheets(folder, list(described.values()))
    methods = json.loads(pl.read_parquet_metadata(folder / "clips.parquet").get("methods", "{}"))

    def shown(place: int, value: float, below: float) -> Shown:
        clip = described[place]
        return Shown(clip, value, below, verdicts[place], pictures.get(clip["clip_id"]))

    axes = []
    for axis in SCORES:
        present = values[axis][~np.isnan(values[axis])]
        rows = {title: [shown(*choice) for choice in row] for title, row in chosen[axis].items()}
        drawing = histogram(present, cuts[axis])
        axes.append(Axis(axis, methods.get(axis, ""), present.size, values[axis].size - present.size, drawing, rows))
    page = _page(folder, axes=axes, funnel=funnel, sheets=list(pictures.values()), **_overview(table))
    write_text(out, page)


def choose(values: NDArray[np.float64], cuts: list[Cut]) -> dict[str, Choice]:
    """Clips at the lowest, middle and highest values, and on both sides of each threshold. Missing values are left out.

    Among equal values clips are drawn at random (seed 0), not by their order.
    """
    mixed = np.random.default_rng(0).permutation(np.flatnonzero(~np.isnan(values)))
    order = mixed[np.argsort(values[mixed], kind="stable")]
    sorted_values, count = values[order], order.size
    starts = {"Lowest": 0, "Middle": (count - SHOWN) // 2, "Highest": count - SHOWN}
    for cut in cuts:
        beyond = sorted_values < cut.value if cut.below else sorted_values <= cut.value
        starts[f"On both sides of {cut.label}"] = int(np.count_nonzero(beyond)) - SHOWN // 2
    rows = {}
    for title, wanted in starts.items():
        start = min(max(wanted, 0), max(count - SHOWN, 0))
        places = range(start, min(start + SHOWN, count))
        rows[title] = [(int(order[place]), float(sorted_values[place]), place / count) for place in places]
    return rows


def thresholds(funnel: dict[str, Any] | None, axis: str) -> list[Cut]:
    """The bounds that a subset's funnel has on an axis."""
    steps = [
        step for step in (funnel or {"steps": []})["steps"] if step["axis"] == axis and step["threshold"] is not None
    ]
    return [
        Cut(
            step["threshold"], step["predicate"].startswith(("drop_lowest", "min")), step["predicate"].replace("_", " ")
        )
        for step in steps
    ]


def _described(clips: pl.LazyFrame, places: set[int]) -> dict[int, dict[str, Any]]:
    """Whole rows of the table by their place among its clips."""
    rows = clips.with_row_index("place").filter(pl.col("place").is_in(sorted(places))).collect().to_dicts()
    return {row.pop("place"): row for row in rows}


def _kept(subset: Path, described: dict[int, dict[str, Any]]) -> set[str]:
    """Which of the clips are in the subset."""
    ids = [clip["clip_id"] for clip in described.values()]
    found = pl.scan_parquet(subset / "subset.parquet").filter(pl.col("clip_id").is_in(ids)).collect()
    return set(found["clip_id"])


def _verdict(clip: dict[str, Any], kept: set[str] | None, cuts: dict[str, list[Cut]], others: Predicates) -> str:
    """`kept`, or `dropped by` every predicate that drops the clip; empty where there is no subset.

    One whose score is the threshold itself was dropped as one of several such clips, if by nothing else.
    """
    if kept is None or clip["clip_id"] in kept:
        return "" if kept is None else "kept"
    by = [axis for axis, some in cuts.items() if any(cut.drops(clip[axis]) for cut in some)]
    if "duplicate_of" in others and clip["duplicate_of"] is not None:
        by.append("being a near-duplicate")
    if "camera_motion" in others and others["camera_motion"] != f"is {clip['camera_motion']}":
        by.append(f"camera motion ({clip['camera_motion'] or 'unknown'})")
    tied = [
        f"{axis} (a tie at its threshold)"
        for axis, some in cuts.items()
        if any(cut.label.startswith("drop") and cut.value == clip[axis] for cut in some)
    ]
    return f"dropped by {', '.join(by or tied)}".replace("_", " ") if by or tied else "dropped"


def _overview(table: pl.LazyFrame) -> dict[str, Any]:
    """What the table as a whole holds."""
    clips = table.filter(pl.col("error").is_null())
    totals = clips.select(
        clips=pl.len(),
        sources=pl.col("source").n_unique(),
        hours=(pl.col("end_s") - pl.col("start_s")).sum() / 3600,
        duplicates=pl.col("duplicate_of").is_not_null().sum(),
    ).collect()
    rejected = table.filter(pl.col("error").is_not_null()).select("source", "error").collect()
    cameras = clips.group_by("camera_motion").len().sort("len", "camera_motion", descending=[True, False]).collect()
    return {
        **totals.row(0, named=True),
        "rejected": rejected.height,
        "reasons": rejected.sort("source", "error").head(REASONS).to_dicts(),
        "cameras": cameras.rows() if cameras["camera_motion"].drop_nulls().len() else [],
    }


def _page(folder: Path, **parts: Any) -> str:
    templates = environment()
    templates.filters.update(figure=figure, clock=clock)
    css = [(HERE / name).read_text(encoding="utf-8") for name in ("page.css", "inspection.css")]
    page: str = templates.get_template("inspection.html").render(
        name=folder.resolve().name, css="\n".join(css), **parts
    )
    return page


def figure(value: float) -> str:
    """Three significant digits with a true minus sign."""
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def clock(seconds: float) -> str:
    """Minutes and seconds, 3:07.4."""
    minutes, rest = divmod(round(10 * seconds), 600)
    return f"{minutes}:{rest / 10:04.1f}"
