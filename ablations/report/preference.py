"""People's votes as the report shows them: ratings with intervals, who won against whom, and how far raters agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ablations.report.result import Ballots
from bench.preference import bradley_terry, elo, krippendorff_alpha, read_votes, win_rates
from bench.preference.table import Inattentive

if TYPE_CHECKING:
    import pandas as pd

AGGREGATED = "aggregated"
"""The mean of the ratings on all questions, as the paper aggregates its two axes."""


@dataclass(frozen=True)
class Preference:
    """
    What the votes say. `elo` and `bradley_terry` map a question (and, if there are several, `AGGREGATED`, first) to a
    frame indexed by arm with `rating`, `low` and `high`; a model that cannot rate is left out of `bradley_terry`, with
    its reason in `lacking`. `tied` are the arms whose Elo has no interval since all their votes are ties. `wins` is the
    share won by the row's arm, `shown` the number of votes.
    """

    questions: tuple[str, ...]
    elo: "Mapping[str, pd.DataFrame]"
    bradley_terry: "Mapping[str, pd.DataFrame]"
    lacking: tuple[str, ...]
    tied: Mapping[str, tuple[str, ...]]
    wins: "pd.DataFrame"
    shown: "pd.DataFrame"
    alpha: Mapping[str, tuple[float | None, str | None]]
    votes: int
    raters: int
    prompts: int
    inattentive: tuple[Inattentive, ...]
    stale: int


def preference(ballots: Ballots, arms: tuple[str, ...]) -> Preference | None:
    """Ratings of `arms` from the votes between them; null where no attentive rater voted on two of them."""
    between = pl.col("left").is_in(arms) & pl.col("right").is_in(arms)
    table = ballots.votes.filter(between | pl.col("expected").is_not_null())
    try:
        votes = read_votes(table)
    except ValueError:
        return None
    whole = {AGGREGATED: table} if len(votes.questions) > 1 else {}
    parts = {question: table.filter(pl.col("question") == question) for question in votes.questions}
    strengths, lacking = {}, []
    for name, part in (whole | parts).items():
        try:
            strengths[name] = bradley_terry(part)
        except ValueError as error:
            lacking.append(f"{name}: {error}")
    wins, shown = win_rates(table)
    rated = {name: elo(part) for name, part in (whole | parts).items()}
    return Preference(
        questions=votes.questions,
        elo=rated,
        bradley_terry=strengths,
        lacking=tuple(lacking),
        tied={name: tuple(frame.attrs["tied"]) for name, frame in rated.items() if frame.attrs["tied"]},
        wins=wins,
        shown=shown,
        alpha={question: krippendorff_alpha(part) for question, part in parts.items()},
        votes=len(votes),
        raters=len(votes.raters),
        prompts=len(votes.prompts),
        inattentive=votes.inattentive,
        stale=ballots.stale,
    )
