"""
Which arm is better, by how much, and whether that can be told at all.

Seeds pair arms: the same seed gives the same data order, noise and prompts, so an arm is compared with the baseline by
the differences within seeds. With three seeds no sign-flip or rank test can reach 5 %, and a bootstrap over three runs
covers about 72 %; the t interval is exact if the differences are normal. Simulated at 3, 5 and 10 seeds, it covers
95.7 to 97.4 % for heavy-tailed or skewed scores whose law is the same in both arms; of differences that are skewed
themselves it covers less: 88 to 90 % of exponential ones, 83 % of log-normal ones. `PairedDifference.wide_interval` is
widened to cover 95 % of the former and 90 % of the latter. The tables and the power curve are in docs/statistics.md.

The verdict covers one declared family of arms against the baseline on the primary metric, by Holm's procedure.
The interval shown beside a verdict has the confidence level of that arm's own Holm step, so that it excludes zero
exactly where the verdict is better or worse (Holm 1979; it always contains the unadjusted 95 % interval).
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Direction = Literal["lower", "higher"]
Verdict = Literal["better", "worse", "inconclusive", "descriptive"]
Scores = Mapping[int, float | None]
"""Seed to value; null, NaN or an absent seed all mean: not measured."""

ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval of a mean difference; `level` is a share, such as 0.95."""

    low: float
    high: float
    level: float


@dataclass(frozen=True)
class PairedDifference:
    """
    Arm minus baseline over the seeds that both have. `mean` needs one pair; `sd`, `interval` and `p_value` two.

    `interval` is the unadjusted 95 % one. `reason` says why something is missing, else null.
    """

    arm: str
    baseline: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float | None = None
    sd: float | None = None
    interval: Interval | None = None
    p_value: float | None = None
    reason: str | None = None

    @property
    def wide_interval(self) -> Interval | None:
        """The t interval at the level that covers 95 % even of exponential differences; for any skew that is milder."""
        return _interval(self.values, skewed_level(len(self.values))) if self.interval else None


@dataclass(frozen=True)
class Comparison:
    """
    The verdict on one arm, after Holm's correction over a family of `family` arms.

    An arm outside the family has none: its verdict is "descriptive", `p_holm` null, and its interval unadjusted.
    """

    difference: PairedDifference
    direction: Direction
    family: int
    p_holm: float | None
    interval: Interval | None
    verdict: Verdict

    @property
    def detectable(self) -> float | None:
        """Size of the smallest true effect that this many seeds find in 80 % of cases, if `sd` is the true spread."""
        if self.interval is None or self.difference.sd is None:
            return None
        return self.difference.sd * detectable_effect(len(self.difference.seeds), 1 - self.interval.level)

    @property
    def seeds_to_settle(self) -> int | None:
        """Seeds that find an effect as large as the one seen in 80 % of cases; null if above `MOST_SEEDS`."""
        if self.interval is None or not self.difference.sd or self.difference.mean is None:
            return None
        return seeds_needed(abs(self.difference.mean) / self.difference.sd, 1 - self.interval.level)


def compare(
    scores: Mapping[str, Scores],
    baseline: str,
    direction: Direction,
    *,
    family: Collection[str] | None = None,
    alpha: float = ALPHA,
) -> dict[str, Comparison]:
    """
    All arms of `scores` but the baseline, in order: verdicts with a family-wise error rate of `alpha` on those of
    `family` (null: all of them), the others descriptive.

    An arm that cannot be tested still counts in the family: a failure makes nothing else easier to find.
    Raises KeyError if `baseline` or an arm of the family is not among the arms.
    """
    differences = {
        arm: paired_difference(arm, values, baseline, scores[baseline])
        for arm, values in scores.items()
        if arm != baseline
    }
    judged = [differences[arm] for arm in (differences if family is None else family)]
    p_holm, levels = _holm([1.0 if d.p_value is None else d.p_value for d in judged], alpha)
    found = {
        d.arm: Comparison(
            d,
            direction,
            len(judged),
            p,
            _interval(d.values, level) if d.interval else None,
            _verdict(d, p <= alpha, direction),
        )
        for d, p, level in zip(judged, p_holm, levels, strict=True)
    }
    return {
        arm: found.get(arm) or Comparison(d, direction, len(judged), None, d.interval, "descriptive")
        for arm, d in differences.items()
    }


def paired_difference(arm: str, values: Scores, baseline: str, baseline_values: Scores) -> PairedDifference:
    """Differences `arm` minus `baseline` over shared seeds, with the unadjusted 95 % t interval: descriptive."""
    ours, theirs = measured(values), measured(baseline_values)
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    differences = tuple(ours[seed] - theirs[seed] for seed in seeds)
    mean = float(np.mean(differences)) if seeds else None
    if len(seeds) < 2:
        have = "only one seed has" if seeds else "no seed has"
        return PairedDifference(
            arm, baseline, seeds, differences, mean, reason=f"{have} both arms; a verdict needs two"
        )
    sd = float(np.std(differences, ddof=1))
    if sd <= 1e-12 * max(abs(scores[seed]) for scores in (ours, theirs) for seed in seeds):
        reason = "the difference is the same in every seed, so nothing is known of its spread"
        return PairedDifference(arm, baseline, seeds, differences, mean, sd, reason=reason)
    return PairedDifference(
        arm, baseline, seeds, differences, mean, sd, _interval(differences, 1 - ALPHA), _p_value(differences)
    )


def measured(scores: Scores) -> dict[int, float]:
    """The seeds that have a finite value."""
    return {seed: float(value) for seed, value in scores.items() if value is not None and isfinite(value)}


def clustered_mean(values: Sequence[float], sources: Sequence[Hashable]) -> tuple[float, Interval]:
    """
    Mean of one value a clip and its 95 % interval, when clips of one source video are no independent evidence.

    `values` are a metric's per-clip values, or two arms' differences clip by clip; `sources` says where each clip comes
    from. Standard errors are clustered by source (Liang & Zeger 1986, with statsmodels' correction for few clusters)
    and have one degree of freedom less than there are sources. They say how sure a mean is given the networks that were
    trained, nothing about other seeds. Raises ValueError for unequal lengths, values that are not finite, and a single
    source.
    """
    from statsmodels.regression.linear_model import OLS

    names = {source: number for number, source in enumerate(dict.fromkeys(sources))}
    if len(values) != len(sources) or len(names) < 2 or not np.isfinite(values).all():
        raise ValueError(
            f"clustering needs finite values of at least two sources, one source a value; "
            f"got {len(values)} values and {len(sources)} sources, {len(names)} of them distinct"
        )
    groups = np.array([names[source] for source in sources])
    fit = OLS(np.asarray(values, np.float64), np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    low, high = fit.conf_int(ALPHA)[0]
    return float(fit.params[0]), Interval(float(low), float(high), 1 - ALPHA)


@lru_cache
def skewed_level(n: int) -> float:
    """The level at which the t interval of `n` exponential draws covers their mean 95 times in 100, by simulation."""
    from scipy.special import stdtr

    draws = np.random.default_rng(n).standard_exponential((2_000_000 // n, n))
    t = np.abs(draws.mean(1) - 1) / (draws.std(1, ddof=1) / sqrt(n))
    return float(1 - 2 * stdtr(n - 1, -np.quantile(t, 1 - ALPHA)))


def power(effect: float, n: int, alpha: float = ALPHA) -> float:
    """
    P(|T| > t) of the two-sided paired t test on `n` pairs, T noncentral t with n − 1 degrees of freedom.

    `effect` is the true mean difference over its standard deviation; the noncentrality is effect · √n. Integrated over
    the distribution of the sample's spread, because scipy's noncentral t is NaN for large effects on few pairs.
    """
    from scipy import special

    t = special.stdtrit(n - 1, 1 - alpha / 2)
    weights, spread = _spreads(n)
    shift = abs(effect) * sqrt(n)
    rejected = special.ndtr(shift - t * spread) + special.ndtr(-shift - t * spread)
    return float(np.sum(weights * rejected) / 2)


@lru_cache
def _spreads(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Legendre weights over the quantiles of a sample's standard deviation (true one: 1), and those quantiles."""
    from scipy.special import gammaincinv

    nodes, weights = np.polynomial.legendre.leggauss(256)
    return weights, np.sqrt(gammaincinv((n - 1) / 2, (nodes + 1) / 2) * 2 / (n - 1))


@lru_cache
def detectable_effect(n: int, alpha: float = ALPHA) -> float:
    """The effect (in standard deviations of the paired differences) at which `power(effect, n, alpha)` is 80 %."""
    from scipy.optimize import brentq

    highest = 1.0
    while power(highest, n, alpha) < POWER:
        highest *= 2
    return float(brentq(lambda effect: power(effect, n, alpha) - POWER, 0, highest))


def seeds_needed(effect: float, alpha: float = ALPHA) -> int | None:
    """The fewest pairs for which `power(effect, n, alpha)` reaches 80 %; null if that takes more than `MOST_SEEDS`."""
    if power(effect, MOST_SEEDS, alpha) < POWER:
        return None
    fewest, enough = 1, MOST_SEEDS
    while enough - fewest > 1:
        middle = (fewest + enough) // 2
        fewest, enough = (fewest, middle) if power(effect, middle, alpha) >= POWER else (middle, enough)
    return enough


def _interval(differences: tuple[float, ...], level: float) -> Interval:
    """Student's t interval of the mean."""
    from scipy.special import stdtrit

    n = len(differences)
    mean, error = np.mean(differences), np.std(differences, ddof=1) / sqrt(n)
    half = stdtrit(n - 1, (1 + level) / 2) * error
    return Interval(float(mean - half), float(mean + half), level)


def _p_value(differences: tuple[float, ...]) -> float:
    """Two-sided p-value of the paired t test (scipy.stats.ttest_rel, without its second-long import)."""
    from scipy.special import stdtr

    n = len(differences)
    t = np.mean(differences) / (np.std(differences, ddof=1) / sqrt(n))
    return float(2 * stdtr(n - 1, -abs(t)))


def _holm(p_values: list[float], alpha: float) -> tuple[list[float], list[float]]:
    """Adjusted p-values, and for each the confidence level of the step at which Holm's procedure decided it."""
    if not p_values:
        return [], []
    from statsmodels.stats.multitest import multipletests

    rejected, adjusted, _, _ = multipletests(p_values, alpha=alpha, method="holm")
    family, found = len(p_values), int(np.sum(rejected))
    levels = [0.0] * family
    for step, index in enumerate(np.argsort(p_values, kind="stable")):
        levels[index] = 1 - alpha / (family - min(step, found, family - 1))
    return [float(p) for p in adjusted], levels


def _verdict(difference: PairedDifference, rejected: bool, direction: Direction) -> Verdict:
    if not rejected or difference.mean is None:
        return "inconclusive"
    return "better" if (difference.mean < 0) == (direction == "lower") else "worse"
