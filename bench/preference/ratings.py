"""
Ratings of arms from votes, both on Elo's scale: start 1000, and 400 points for odds of ten to one.

Where votes answer several questions, each question is rated alone and the ratings are averaged: the paper's
"aggregated".
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.preference.bootstrap import half_widths, ties, with_ties
from bench.preference.table import Floats, Ints, Votes, read_votes

if TYPE_CHECKING:
    import pandas as pd

SCALE = 400 / np.log(10)
"""Points on Elo's scale per unit of log-odds."""
REPEATED = 4
"""Orders in which each replicate of the bootstrap is played; their spread is taken out of the interval."""
AT_ONCE = 20_000_000
"""Entries of an order that are held in memory."""


def elo(votes: Any, k: float = 1, start: float = 1000, shuffles: int = 1000, seed: int = 0) -> "pd.DataFrame":
    """
    Elo ratings exactly as the paper's human study: averaged over `shuffles` random orders of the votes.

    E₁ = 1/(1 + 10^((R₂ − R₁)/400)), R′ = R + K(S − E), every arm at `start` (Stable Video Diffusion, appendix on human
    evaluation). `votes` is a table as in `bench.preference.table`. Returns a data frame indexed by arm with `rating`,
    `low` and `high`: the 95 % interval over other prompts and raters (`half_widths`), not over orders; NaN for the arms
    that `attrs` calls `tied`. Its `attrs` also say how many `votes` were counted and which raters were left out as
    `inattentive`.

    With K = 1 a rating moves by at most one point a vote: it is comparable between arms that were voted on equally
    often, and not between studies of different size.
    """
    if shuffles < 1 or k <= 0:
        raise ValueError(f"elo needs k > 0 and at least one shuffle, not k = {k} and {shuffles} shuffles")
    table = read_votes(votes)
    main, spread = np.random.SeedSequence(seed).spawn(2)
    points = _elo(table, _once(table), k, shuffles, np.random.default_rng(main))[0].mean(axis=0)
    draws, tied = np.random.default_rng(spread), _tied(table)
    half = half_widths(table, lambda w: _elo(table, w, k, REPEATED, draws), seed)
    frame = _frame(table, start + points, np.where(tied, np.nan, half))
    frame.attrs["tied"] = list(frame.index[tied])
    return frame


def bradley_terry(votes: Any, seed: int = 0) -> "pd.DataFrame":
    """
    Bradley–Terry strengths by maximum likelihood, on Elo's scale around 1000; a tie counts as half a win each.

    P(i beats j) = 1/(1 + 10^((R_j − R_i)/400)). Arguments and result as for `elo`. Unlike Elo's with K = 1, they do not
    depend on the number of votes. Where no maximum exists, because some arms never lost (or never won) against the
    others, one tie is added to every pair that was voted on, and `attrs["regularised"]` is true.
    Raises ValueError for arms that no chain of votes connects: their strengths cannot be compared.
    """
    table = read_votes(votes)
    _check_connected(table)
    rating = _bradley_terry(table, _once(table))[0, 0]
    frame = _frame(table, 1000 + rating, half_widths(table, lambda w: _bradley_terry(table, w, 1e-4), seed))
    frame.attrs["regularised"] = not _decided(_wins(table, _once(table))).all()
    return frame


def _tied(votes: Votes) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """Arms that have ties alone: these move no rating, nor do made-up ones, and an interval would have no width."""
    decided = votes.score != 0.5
    return ~np.isin(np.arange(len(votes.arms)), [votes.left[decided], votes.right[decided]])


def _once(votes: Votes) -> Floats:
    """The weights of the votes themselves: each once, no made-up ties."""
    return np.append(np.ones(len(votes)), np.zeros(len(ties(votes))))[None]


def _frame(votes: Votes, rating: Floats, half: Floats) -> "pd.DataFrame":
    import pandas as pd

    columns = {"rating": rating, "low": rating - half, "high": rating + half}
    frame = pd.DataFrame(columns, index=pd.Index(votes.arms, name="arm"))
    frame.attrs.update(votes=len(votes), inattentive=[vars(entry) for entry in votes.inattentive])
    return frame


def _elo(votes: Votes, weights: Floats, k: float, repeated: int, draws: np.random.Generator) -> Floats:
    """Points above the start, (B, `repeated`, arms), with each vote as often as its weight (B, V + T) says."""
    every = with_ties(votes)
    points = np.zeros((len(weights), repeated, len(votes.arms)))
    for number in range(len(votes.questions)):
        own = np.flatnonzero(every.question == number)
        real = own[own < len(votes)]
        counted = weights[:, real].sum(axis=1)
        gain = k * np.divide(len(real), counted, out=np.zeros_like(counted), where=counted > 0)  # as many points to win
        most = int(weights[:, own].sum(axis=1).max())
        lanes = max(1, AT_ONCE // max(1, most * repeated))
        for first in range(0, len(weights), lanes):
            some = slice(first, first + lanes)
            order = _orders(weights[some, own].astype(np.intp), most, repeated, draws)
            lane_gain = gain[some].repeat(repeated)
            played = _play(order, every.left[own], every.right[own], every.score[own], lane_gain, len(votes.arms))
            points[some] += played.reshape(-1, repeated, len(votes.arms))
    return points / len(votes.questions)


def _orders(counts: Ints, length: int, repeated: int, draws: np.random.Generator) -> Ints:
    """Random orders (length, B · repeated) of votes, each as often as counts (B, V) say; V stands for no vote."""
    lanes, votes = counts.shape
    order = np.full((lanes, repeated, length), votes, dtype=np.int32)
    for lane, count in enumerate(counts):
        order[lane, :, : count.sum()] = np.repeat(np.arange(votes, dtype=np.int32), count)
    shuffled = draws.permuted(order.reshape(lanes * repeated, length), axis=1)
    return np.ascontiguousarray(shuffled.T)


def _play(order: Ints, left: Ints, right: Ints, score: Floats, gain: Floats, arms: int) -> Floats:
    """Elo's updates along every lane of `order` (steps, lanes) at once: points above the start, (lanes, arms)."""
    left, right, score = np.append(left, 0), np.append(right, 0), np.append(score, 0.5)  # no vote: changes nothing
    points = np.zeros(order.shape[1] * arms)
    lane = np.arange(order.shape[1]) * arms
    for vote in order:
        one, two = lane + left[vote], lane + right[vote]
        expected = 1 / (1 + np.exp((points[two] - points[one]) / SCALE))
        change = gain * (score[vote] - expected)
        points[one] += change
        points[two] -= change
    return points.reshape(-1, arms)


def _bradley_terry(votes: Votes, weights: Floats, tolerance: float = 1e-8) -> Floats:
    """Points around zero, (B, 1, arms), with each vote weighted as (B, V + T) says."""
    import choix

    wins = _wins(votes, weights)
    wins = wins + ~_decided(wins)[..., None, None] * _compared(votes)[:, None] / 2
    fits = [[choix.ilsr_pairwise_dense(w, tol=tolerance, max_iter=1000) for w in replicates] for replicates in wins]
    return np.asarray(SCALE * np.mean(fits, axis=0)[:, None], dtype=np.float64)


def _wins(votes: Votes, weights: Floats) -> Floats:
    """How often each arm won against each other, (questions, B, arms, arms); a tie is half a win each."""
    every = with_ties(votes)
    turned = replace(every, left=every.right, right=every.left, score=1 - every.score)
    arms = len(votes.arms)
    wins = np.zeros((len(votes.questions), len(weights), arms * arms))
    for number in range(len(votes.questions)):
        own = every.question == number
        for way in (every, turned):
            share = np.zeros((int(own.sum()), arms * arms))
            share[np.arange(len(share)), (way.left * arms + way.right)[own]] = way.score[own]
            wins[number] += weights[:, own] @ share
    return wins.reshape(len(votes.questions), len(weights), arms, arms)


def _decided(wins: Floats) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """Whether the likelihood of wins (..., arms, arms) has a maximum: through others, every arm beat every other."""
    arms = wins.shape[-1]
    beat = ((wins > 0) | np.eye(arms, dtype=bool)).astype(np.float64)
    for _ in range(max(1, (arms - 1).bit_length())):
        beat = (beat @ beat > 0).astype(np.float64)  # through twice as many others (Ford 1957)
    return np.asarray(beat.all(axis=(-1, -2)))


def _compared(votes: Votes) -> Floats:
    """1 for pairs that were voted on in a question, both ways round; (questions, arms, arms)."""
    question, left, right = ties(votes).T
    compared = np.zeros((len(votes.questions), len(votes.arms), len(votes.arms)))
    compared[question, left, right] = compared[question, right, left] = 1
    return compared


def _check_connected(votes: Votes) -> None:
    """Raise ValueError unless, for every question, votes connect all arms."""
    from scipy.sparse.csgraph import connected_components

    for name, compared in zip(votes.questions, _compared(votes), strict=True):
        parts, part = connected_components(compared, directed=False)
        if parts > 1:
            groups = [", ".join(a for a, p in zip(votes.arms, part, strict=True) if p == g) for g in range(parts)]
            about = f" on {name!r}" if name else ""
            raise ValueError(f"no votes{about} connect these arms, so they cannot be rated: {' | '.join(groups)}")
