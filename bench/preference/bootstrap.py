"""How sure ratings are: a bootstrap over prompts and raters, since other ones would have voted otherwise."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bench.preference.table import Floats, Ints, Votes

REPLICATES = 200
"""Of each kind: the spread is then known to 5 %."""
LEVEL = 0.95

Rate = Callable[[Floats], Floats]
"""From weights (B, V + T) of votes and `ties` to ratings (B, S, arms): S repetitions that differ by chance alone."""


def half_widths(votes: Votes, rate: Rate, seed: int) -> Floats:
    """
    Half the width of each rating's 95 % interval, (arms,); NaN for a single vote.

    Prompts are drawn with replacement, then raters, then the cells that one rater and one prompt make. A cell's noise
    is in all three variances, so what prompts and raters add is their excess over the cells' (two-way clustering,
    Cameron, Gelbach and Miller 2011); degrees of freedom are Satterthwaite's. Ratings by one rater speak of that rater
    only.
    """
    from scipy.special import stdtrit

    cells = votes.prompt * len(votes.raters) + votes.rater
    if len(np.unique(cells)) == 1:  # prompts and raters are not told apart: votes are drawn
        cells = np.arange(len(votes), dtype=np.intp)
    if len(np.unique(cells)) == 1:
        return np.full(len(votes.arms), np.nan)
    coarser = [codes for codes in (votes.prompt, votes.rater) if 1 < len(np.unique(codes)) < len(np.unique(cells))]
    factors = [cells, *coarser]
    counts = np.array([len(np.unique(codes)) for codes in factors])
    streams = np.random.SeedSequence(seed).spawn(len(factors))
    extra = len(ties(votes))
    noise, *own = (_variance(rate(_weights(c, extra, s))) for c, s in zip(factors, streams, strict=True))
    parts = np.array([noise, *(np.maximum(variance - noise, 0) for variance in own)]) * (counts / (counts - 1))[:, None]
    total = parts.sum(axis=0)
    spread = (parts**2 / (counts - 1)[:, None]).sum(axis=0)
    freedom = np.divide(total**2, spread, out=np.ones_like(total), where=spread > 0)
    return np.asarray(stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(total), dtype=np.float64)


def ties(votes: Votes) -> Ints:
    """
    A made-up tie for every question and pair that were voted on, (T, 3): question, left, right.

    Together they are one more cluster to draw. Without it an arm that won all its votes wins them all in every
    replicate, and its interval has no width; Agresti and Coull (1998) add successes and failures for the same reason.
    """
    return np.unique(np.stack([votes.question, votes.left, votes.right], axis=1), axis=0)


def with_ties(votes: Votes) -> Votes:
    """The votes, then the made-up ties; these are of no prompt and no rater (-1)."""
    question, left, right = ties(votes).T
    nobody = np.full(len(question), -1, dtype=np.intp)
    return replace(
        votes,
        question=np.append(votes.question, question),
        left=np.append(votes.left, left),
        right=np.append(votes.right, right),
        score=np.append(votes.score, np.full(len(question), 0.5)),
        prompt=np.append(votes.prompt, nobody),
        rater=np.append(votes.rater, nobody),
    )


def _weights(codes: Ints, extra: int, stream: np.random.SeedSequence) -> Floats:
    """How often each vote, and each of the made-up ties, is in a replicate: (B, V + T)."""
    _, cluster = np.unique(codes, return_inverse=True)
    count = int(cluster.max()) + 2
    draws = np.random.default_rng(stream).multinomial(count, np.full(count, 1 / count), REPLICATES)
    return draws[:, np.concatenate([cluster, np.full(extra, count - 1)])].astype(np.float64)


def _variance(ratings: Floats) -> Floats:
    """Variance over replicates (B, S, arms), less what is left in their means of the spread over repetitions."""
    repetitions = ratings.shape[1]
    variance = ratings.mean(axis=1).var(axis=0, ddof=1)
    if repetitions > 1:
        variance = np.maximum(variance - ratings.var(axis=1, ddof=1).mean(axis=0) / repetitions, 0)
    return np.asarray(variance, dtype=np.float64)
