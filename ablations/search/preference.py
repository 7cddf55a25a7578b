"""
A study whose objective is preference: the paper's way of choosing thresholds.

One parameter at a time is varied from the incumbent. Its levels are the arms of an ordinary ablation, pairs of their
clips are voted on, and Elo rates them; the best level of every parameter together is what is retrained. The votes are
people's, or those of a metric of single clips, which is then named and never called a person.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from ablations.artifacts import Store
from ablations.plan import Graph, plan
from ablations.search.parameters import Point, Value, shown
from ablations.search.study import VOTES, Study
from ablations.search.winner import write_spec
from ablations.spec import load
from ablations.votes import on_present_samples, votes_table
from bench.preference import elo
from bench.settings import METRICS, ScoreSettings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Axis:
    """One parameter, all others at the incumbent. `arms` maps an arm's name to its level, `spec` is the ablation."""

    parameter: str
    arms: dict[str, Value]
    baseline: str
    spec: Path


@dataclass(frozen=True)
class Rated:
    """What the votes say of an axis: Elo by arm (`rating`, `low`, `high`), or why there is none yet."""

    axis: Axis
    elo: "pd.DataFrame | None" = None
    votes: int = 0
    lacking: str | None = None

    @property
    def best(self) -> str | None:
        """The arm of the highest rating; of equals the incumbent's, then the first."""
        if self.elo is None:
            return None
        ratings: dict[str, float] = self.elo["rating"].to_dict()
        return max(ratings, key=lambda arm: (ratings[arm], arm == self.axis.baseline))

    @property
    def apart(self) -> bool:
        """Whether the best arm's interval lies above the incumbent's."""
        if self.elo is None or self.axis.baseline not in self.elo.index:
            return False
        return bool(self.elo.loc[self.best, "low"] > self.elo.loc[self.axis.baseline, "high"])


def write_axis(study: Study, parameter: str, folder: Path) -> Axis:
    """Write the ablation of one parameter's levels as a spec file into `folder`."""
    short, others = axis_name(parameter), [name for name in study.file.parameters if name != parameter]
    if short in map(axis_name, others):
        short = parameter.removeprefix("subset.keep.").replace(".", "_")
    arms = {arm_name(parameter, level): level for level in study.file.parameters[parameter].values}
    incumbent = study.file.incumbent
    baseline = next(arm for arm, level in arms.items() if level == incumbent[parameter])
    primary = study.file.final.primary if study.file.final and study.file.final.primary else "fvd"
    rater = (study.file.rater,) if study.file.rater in METRICS else ()
    path = write_spec(
        study,
        folder / f"{study.name}_{short}.yaml",
        f"Which {parameter} makes the clips that are preferred, all else as in the incumbent?",
        seeds=study.file.seeds,
        baseline=baseline,
        arms={arm: {**incumbent, parameter: level} for arm, level in arms.items()},
        metrics=(primary, *ScoreSettings().metrics, *rater),
    )
    return Axis(parameter, arms, baseline, path)


def axis_name(parameter: str) -> str:
    """What a parameter's ablation is called by: the filter's axis, or the stage."""
    return parameter.removeprefix("subset.keep.").partition(".")[0]


def arm_name(parameter: str, level: Value) -> str:
    """A name that a spec takes, such as `drop_lowest_0.25`."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", f"{parameter.rpartition('.')[2]}_{shown(level)}")


def rate(study: Study, axis: Axis, store: Store) -> Rated:
    """Elo of an axis' levels by the study's rater."""
    spec = load(str(axis.spec), study.asked_scale)
    graph = plan(spec)
    if study.file.rater == VOTES:
        votes = on_present_samples(votes_table(spec, store), graph, store)
    else:
        votes = automatic_votes(str(study.file.rater), graph, store)
    if not votes["expected"].is_null().any():
        return Rated(axis, lacking="no votes yet")
    try:
        rated = elo(votes)
    except ValueError as error:
        return Rated(axis, lacking=str(error))
    return Rated(axis, rated, votes=rated.attrs["votes"])


def automatic_votes(metric: str, graph: Graph, store: Store) -> pl.DataFrame:
    """Votes of a metric: of two arms' clips of the same prompt and seed the better value wins, equal ones tie."""
    parts = [
        pl.read_parquet(store.artifact(roles["score"]) / "per_clip.parquet")
        .filter(pl.col("metric") == metric, pl.col("value").is_finite())
        .select(pl.lit(arm).alias("arm"), pl.lit(seed).alias("seed"), "clip", "value")
        for (arm, seed), roles in graph.runs.items()
        if store.has(roles["score"])
    ]
    values = pl.concat(parts)
    pairs = values.join(values, on=["seed", "clip"], maintain_order="left").filter(pl.col("arm") < pl.col("arm_right"))
    sign = 1 if METRICS[metric].direction == "higher" else -1
    return pairs.select(
        pl.col("arm").alias("left"),
        pl.col("arm_right").alias("right"),
        (0.5 + 0.5 * sign * (pl.col("value") - pl.col("value_right")).sign()).alias("score"),
        pl.col("clip").cast(pl.String).alias("prompt"),
        pl.lit(METRICS[metric].label).alias("question"),
        pl.lit(f"{metric} (automatic)").alias("rater"),
        pl.lit(None, dtype=pl.Float64).alias("expected"),
    )


def preferred(study: Study, ratings: list[Rated]) -> Point | None:
    """The best level of every parameter; null while an axis is not rated."""
    point = dict(study.file.incumbent)
    for rated in ratings:
        if rated.best is None:
            return None
        point[rated.axis.parameter] = rated.axis.arms[rated.best]
    return point
