"""Whether any point of a study can meet its constraint, told before anything is trained."""

from itertools import product
from math import ceil, floor, prod
from typing import TYPE_CHECKING

import numpy as np

from ablations.artifacts import Store
from ablations.errors import AblateError
from ablations.search.candidate import Candidate
from ablations.search.parameters import Point, shown
from ablations.search.study import Study
from svd_core.curation.filters import kept
from svd_core.curation.table import read_clips

if TYPE_CHECKING:
    import polars as pl

MOST_CORNERS = 1024
"""Spaces of more are not checked beforehand: each trial is, before it trains."""


def check_constraint(study: Study, first: Candidate, store: Store) -> None:
    """
    Raise DocumentError with the nearest feasible bound if every point of the space keeps too few clips, or too many.

    Drop shares and bounds on scores are monotone: a corner keeps the most, another the least. Says nothing where other
    settings than the filter are varied, for what those keep is only known once they ran.
    """
    bounds, space = study.file.kept_share, study.file.parameters
    if bounds is None or not all(name.startswith("subset.keep.") for name in space):
        return
    if prod(len(parameter.ends) for parameter in space.values()) > MOST_CORNERS:
        return
    curate = next(node["curate"].key for node in first.rungs[0].values())
    clips = read_clips(store.artifact(curate) / "clips.parquet")
    shares = [(kept_share(study, point, clips), point) for point in [study.file.incumbent, *corners(study)]]
    (least, fewest), (most, all_of_them) = min(shares, key=by_share), max(shares, key=by_share)
    if most < bounds.min:
        raise infeasible(study, "min", f"no point keeps more than {most:.4f}", floor(most * 1e4) / 1e4, all_of_them)
    if least > bounds.max:
        raise infeasible(study, "max", f"no point keeps fewer than {least:.4f}", ceil(least * 1e4) / 1e4, fewest)


def by_share(entry: tuple[float, Point]) -> float:
    """The share of an entry."""
    return entry[0]


def corners(study: Study) -> list[Point]:
    """Every combination of the parameters' ends."""
    space = study.file.parameters
    combinations = product(*(parameter.ends for parameter in space.values()))
    return [dict(zip(space, values, strict=True)) for values in combinations]


def kept_share(study: Study, point: Point, clips: "pl.DataFrame") -> float:
    """Share of `clips` that the filter of a point keeps."""
    return float(np.mean(kept(clips, study.recipe(point).subset.keep)))


def infeasible(study: Study, bound: str, found: str, nearest: float, point: Point) -> AblateError:
    """The complaint, at the study's own line, with the nearest bound that some point meets and that point."""
    where = ", ".join(f"{name} = {shown(value)}" for name, value in point.items())
    message = f"nothing meets this: {found} of all clips; the nearest feasible is {bound}: {nearest:g}, at {where}"
    return study.document.error(("kept_share", bound), message)
