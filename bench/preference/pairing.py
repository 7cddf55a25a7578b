"""Which pair a rater is shown next."""

from collections.abc import Mapping
from itertools import combinations, product
from typing import Literal, NamedTuple

import numpy as np

from bench.preference.ledger import Ledger

Choose = Literal["balance", "information"]
Samples = Mapping[tuple[str, int], str]
"""Fingerprint of the clips of every run (arm, seed) that was sampled."""


class Pair(NamedTuple):
    """Clip number `clip` of the runs (`left`, `seed`) and (`right`, `seed`)."""

    left: str
    right: str
    clip: int
    seed: int


def next_pair(
    samples: Samples, clips: int, ledger: Ledger, rater: str, choose: Choose, draws: np.random.Generator
) -> Pair | None:
    """
    The pair of arms that was shown least (`balance`) or tells most of the order of arms (`information`); of that pair
    the clip, then the seed, and then the sides that were shown least. Ties are drawn. Null if the rater saw all.
    """
    arms = sorted({arm for arm, _ in samples})
    seen = {(min(t.left, t.right), max(t.left, t.right), t.clip, t.seed) for t in ledger.by_rater[rater]}
    pairs = list(combinations(arms, 2))
    worth = -information(arms, ledger) if choose == "information" else None
    ranks = {pair: worth[arms.index(pair[0]), arms.index(pair[1])] if worth is not None else 0.0 for pair in pairs}
    shuffled = draws.permutation(len(pairs))
    order = sorted(range(len(pairs)), key=lambda p: (ranks[pairs[p]], ledger.shown[pairs[p]], shuffled[p]))
    for one, two in (pairs[place] for place in order):
        seeds = sorted({seed for arm, seed in samples if arm == one} & {seed for arm, seed in samples if arm == two})
        chance = draws.permutation(clips * len(seeds)).reshape(clips, len(seeds))
        unseen = [
            (ledger.shown[one, two, clip], ledger.shown[one, two, clip, seed], chance[clip, place], clip, seed)
            for clip, (place, seed) in product(range(clips), enumerate(seeds))
            if (one, two, clip, seed) not in seen
        ]
        if unseen:
            *_, clip, seed = min(unseen)
            left, right = sided(one, two, ledger, draws)
            return Pair(left, right, clip, seed)
    return None


def sided(one: str, two: str, ledger: Ledger, draws: np.random.Generator) -> tuple[str, str]:
    """The two arms, the one first that was on the left less often; drawn if both were equally often."""
    lead = ledger.shown["left", one, two] - ledger.shown["left", two, one]
    return (one, two) if lead < 0 or (lead == 0 and draws.random() < 0.5) else (two, one)


def information(arms: list[str], ledger: Ledger) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """
    Nats that one more vote on each pair is expected to tell of the Bradley–Terry strengths, (arms, arms).

    ½ log(1 + p(1 − p) Var(β_i − β_j)): the gain in a Gaussian posterior (Laplace's approximation, one made-up tie a
    pair as prior). Pairs shown and not yet answered count as answered, so that raters at the same time spread out.
    """
    import choix

    place = {arm: number for number, arm in enumerate(arms)}
    shape = (len(arms), len(arms))
    wins, shown = np.full(shape, 0.5), np.ones(shape)
    for (winner, loser), count in ledger.wins.items():
        if winner in place and loser in place:
            wins[place[winner], place[loser]] += count
    for one, two in combinations(arms, 2):
        shown[place[one], place[two]] = shown[place[two], place[one]] = 1 + ledger.shown[one, two]
    strength = choix.ilsr_pairwise_dense(wins * (1 - np.eye(len(arms))), max_iter=1000)
    chance = 1 / (1 + np.exp(strength[None] - strength[:, None]))
    doubt = chance * (1 - chance)
    weight = shown * doubt * (1 - np.eye(len(arms)))
    precision = np.diag(weight.sum(axis=1)) - weight + 1 / len(arms)  # the mean of all strengths is not told by votes
    covariance = np.linalg.inv(precision)
    variance = np.diag(covariance)[:, None] + np.diag(covariance)[None] - 2 * covariance
    return np.asarray(0.5 * np.log1p(doubt * variance))
