"""What the votes look like before any model: who won how often against whom, and how far raters agree."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.preference.table import read_votes

if TYPE_CHECKING:
    import pandas as pd


def win_rates(votes: Any) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """
    Share of votes that the row's arm won against the column's (a tie is half; NaN if never shown), and their number.

    `votes` is a table as in `bench.preference.table`; all its questions are counted together.
    """
    import pandas as pd

    table = read_votes(votes)
    wins = np.zeros((len(table.arms), len(table.arms)))
    np.add.at(wins, (table.left, table.right), table.score)
    np.add.at(wins, (table.right, table.left), 1 - table.score)
    shown = wins + wins.T
    share = np.divide(wins, shown, out=np.full_like(wins, np.nan), where=shown > 0)
    arms = pd.Index(table.arms, name="arm")
    return pd.DataFrame(share, arms, table.arms), pd.DataFrame(shown.astype(int), arms, table.arms)


def krippendorff_alpha(votes: Any) -> tuple[float | None, str | None]:
    """
    Krippendorff's α of the raters over everything that two of them judged: 1 is full agreement, 0 is chance's.

    Right, tie and left are ordinal values; a unit is a question, a prompt and a pair of arms. Null with a reason where
    no unit has two raters, or all votes are equal. A rater's several votes on one unit count as their mean.
    """
    import krippendorff

    table = read_votes(votes)
    units = np.stack([table.question, table.prompt, table.left, table.right], axis=1)
    _, unit = np.unique(units, axis=0, return_inverse=True)
    shape = (len(table.raters), int(unit.max()) + 1)
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (table.rater, unit), table.score)
    np.add.at(count, (table.rater, unit), 1)
    judged = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)
    shared = (count > 0).sum(axis=0) > 1
    if not shared.any():
        return None, "no two raters judged the same pair"
    if len(np.unique(judged[:, shared][~np.isnan(judged[:, shared])])) == 1:
        return None, "all votes on what two raters judged are equal"
    return float(krippendorff.alpha(reliability_data=judged, level_of_measurement="ordinal")), None
