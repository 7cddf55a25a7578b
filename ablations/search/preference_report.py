"""The report of a study by preference: who voted, what every level's rating is, and what came of the best ones."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablations.artifacts import Store
from ablations.job import code_revision, machine
from ablations.report.figures import LOOK, WIDTH, save
from ablations.report.html import assets, environment
from ablations.report.style import BASELINE, COLOURS
from ablations.report.wording import number
from ablations.search.figures import short
from ablations.search.parameters import shown
from ablations.search.preference import Rated, preferred
from ablations.search.report import HERE, as_csv, retrained
from ablations.search.study import VOTES, Study
from bench.settings import METRICS

COLUMNS = ("parameter", "level", "elo", "low", "high", "votes")


def write_preference_report(study: Study, store: Store, ratings: list[Rated], out: Path, final: Path | None) -> Path:
    """Write page, `ratings.csv` and figure into `out`; returns the page. `final` is the spec of the retraining."""
    rows = [row for rated in ratings for row in level_rows(rated)]
    table = as_csv([{name: row[name] for name in COLUMNS} for row in rows])
    (out / "ratings.csv").write_text(table, encoding="utf-8", newline="\n")
    known = [rated for rated in ratings if rated.elo is not None]
    if known:
        (out / "figures").mkdir(exist_ok=True)
        with mpl.rc_context(LOOK):
            save(draw_levels(known), out / "figures", "levels")
    page: str = (
        environment(HERE)
        .get_template("preference.html")
        .render(
            study=study,
            rater=rater(study),
            verdicts=retrained(study, store, final) if final else [],
            sentences=[sentence(rated) for rated in ratings] + [conclusion(study, ratings)],
            rows=rows,
            drawn=bool(known),
            ratings=ratings,
            short=short,
            number=number,
            revision=code_revision(),
            machine=machine(),
            **assets(),
        )
    )
    (out / "report.html").write_text(page, encoding="utf-8", newline="\n")
    return out / "report.html"


def rater(study: Study) -> str:
    """Who voted, in words that leave no doubt."""
    if study.file.rater == VOTES:
        return "The votes are people's."
    label = METRICS[str(study.file.rater)].label
    return f"The votes are those of {label} ({study.file.rater}), an automatic rater: no person was asked."


def sentence(rated: Rated) -> str:
    """The finding on one parameter."""
    axis, name = rated.axis, short(rated.axis.parameter)
    if rated.elo is None or rated.best is None:
        return f"{name}: not rated, {rated.lacking}."
    level, incumbent = shown(axis.arms[rated.best]), shown(axis.arms[axis.baseline])
    if rated.best == axis.baseline:
        return f"{name}: the incumbent's {incumbent} is preferred."
    doubt = "" if rated.apart else ", though their 95 % intervals overlap"
    return f"{name}: {level} is preferred to the incumbent's {incumbent}{doubt}."


def conclusion(study: Study, ratings: list[Rated]) -> str:
    """What all parameters come to together."""
    point = preferred(study, ratings)
    if point is None:
        return "Nothing is concluded before every parameter is rated: vote, and give the same command again."
    told = ", ".join(f"{short(name)} {shown(value)}" for name, value in point.items())
    return f"Preferred, each on its own: {told}. How they do together only the retraining tells."


def level_rows(rated: Rated) -> list[dict[str, Any]]:
    """One row a level."""
    rows = []
    for arm, level in rated.axis.arms.items():
        known = rated.elo is not None and arm in rated.elo.index
        found = dict(rated.elo.loc[arm].dropna()) if rated.elo is not None and known else {}
        rows.append(
            {
                "parameter": rated.axis.parameter,
                "level": shown(level),
                "elo": found.get("rating"),
                "low": found.get("low"),
                "high": found.get("high"),
                "votes": rated.votes,
                "incumbent": arm == rated.axis.baseline,
            }
        )
    return rows


def draw_levels(ratings: list[Rated]) -> Figure:
    """Elo of every level, one small panel a parameter; the incumbent's is grey."""
    rows = -(-len(ratings) // 2)
    columns = min(2, len(ratings))
    figure = Figure(figsize=(WIDTH, 1.35 * rows + 0.15))
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel in panels[len(ratings) :]:
        panel.axis("off")
    for rated, panel in zip(ratings, panels, strict=False):
        _levels(panel, rated)
    for panel in panels[::columns]:
        panel.set_ylabel("Elo, 95 % interval")
    return figure


def _levels(panel: Axes, rated: Rated) -> None:
    panel.axhline(1000, color="black", linewidth=0.6)
    rows = [row for row in level_rows(rated) if row["elo"] is not None]
    for place, row in enumerate(rows):
        colour = BASELINE if row["incumbent"] else COLOURS[0]
        if row["low"] is not None:
            panel.plot((place, place), (row["low"], row["high"]), color=colour)
        panel.plot(place, row["elo"], "o" if row["incumbent"] else "s", color=colour)
    panel.set_xticks(range(len(rows)), [row["level"] for row in rows])
    panel.set_xlim(-0.6, len(rows) - 0.4)
    panel.yaxis.set_major_locator(MaxNLocator(4))
    panel.set_title(short(rated.axis.parameter), loc="left")
