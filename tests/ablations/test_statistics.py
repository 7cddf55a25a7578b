import gc
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from ablations.statistics import (
    Scores,
    clustered_mean,
    compare,
    detectable_effect,
    paired_difference,
    power,
    seeds_needed,
)

PROTOTYPE: dict[str, Scores] = {
    "unfiltered": {0: 961.4, 1: 982.7, 2: 894.2},
    "filtered": {0: 802.5, 1: 796.9, 2: 777.1},
    "same_size_random": {0: 968.1, 1: 935.3, 2: 928.7},
}


@pytest.fixture(autouse=True, scope="module")
def cheap_collection() -> Iterator[None]:
    """multipletests collects garbage at every call: with a frozen heap that takes no time."""
    gc.freeze()
    yield
    gc.unfreeze()


def table(values: np.ndarray[Any, Any]) -> dict[str, Scores]:
    """(arms, seeds) as scores; the first arm, named "0", is the baseline."""
    return {str(arm): dict(enumerate(map(float, row))) for arm, row in enumerate(values)}


def test_verdicts_of_a_measured_prototype() -> None:
    found = compare(PROTOTYPE, "unfiltered", "lower")
    assert list(found) == ["filtered", "same_size_random"]
    assert found["filtered"].verdict == "better"
    assert found["same_size_random"].verdict == "inconclusive"
    assert found["filtered"].difference.values == pytest.approx((-158.9, -185.8, -117.1))


def test_interval_and_p_value_are_scipys() -> None:
    difference = compare(PROTOTYPE, "unfiltered", "lower")["filtered"].difference
    reference = stats.ttest_rel(list(PROTOTYPE["filtered"].values()), list(PROTOTYPE["unfiltered"].values()))
    low, high = reference.confidence_interval(0.95)
    assert difference.interval is not None
    assert (difference.interval.low, difference.interval.high) == pytest.approx((low, high), rel=1e-12)
    assert difference.p_value == pytest.approx(reference.pvalue, rel=1e-12)


def test_direction_turns_better_into_worse() -> None:
    assert compare(PROTOTYPE, "unfiltered", "higher")["filtered"].verdict == "worse"


def test_holm_is_over_all_arms_and_an_untestable_one_still_counts() -> None:
    alone = compare({name: PROTOTYPE[name] for name in ("unfiltered", "filtered")}, "unfiltered", "lower")
    lost = compare({**PROTOTYPE, "same_size_random": {0: None}}, "unfiltered", "lower")
    assert alone["filtered"].p_holm == alone["filtered"].difference.p_value
    assert lost["filtered"].p_holm == pytest.approx(2 * alone["filtered"].p_holm)
    assert lost["same_size_random"].p_holm == 1


def test_arms_outside_the_declared_family_are_descriptive_and_cost_no_power() -> None:
    alone = compare({name: PROTOTYPE[name] for name in ("unfiltered", "filtered")}, "unfiltered", "lower")
    found = compare(PROTOTYPE, "unfiltered", "lower", family=["filtered"])
    assert found["filtered"] == alone["filtered"]
    control = found["same_size_random"]
    assert (control.verdict, control.p_holm, control.interval) == ("descriptive", None, control.difference.interval)
    with pytest.raises(KeyError):
        compare(PROTOTYPE, "unfiltered", "lower", family=["filterd"])


@given(st.integers(1, 6), st.integers(2, 8), st.integers(0, 2**32 - 1), st.sampled_from(["lower", "higher"]))
@settings(max_examples=60, deadline=None)
def test_interval_excludes_zero_exactly_where_holm_decides(arms: int, seeds: int, entropy: int, direction: Any) -> None:
    draw = np.random.default_rng(entropy)
    values = draw.standard_normal((arms + 1, seeds)) + draw.choice([0, 2], (arms + 1, 1))
    found = compare(table(values), "0", direction)
    rejected, adjusted, _, _ = multipletests([c.difference.p_value for c in found.values()], method="holm")
    for comparison, decided, p in zip(found.values(), rejected, adjusted, strict=True):
        interval, usual = comparison.interval, comparison.difference.interval
        assert interval is not None
        assert usual is not None
        assert comparison.p_holm == pytest.approx(p)
        assert (comparison.verdict != "inconclusive") == decided == (not interval.low <= 0 <= interval.high)
        assert interval.low <= usual.low < usual.high <= interval.high


@pytest.mark.parametrize(("arms", "seeds"), [(1, 3), (2, 3), (2, 5), (4, 10)])
def test_a_false_verdict_in_at_most_one_of_twenty_ablations(arms: int, seeds: int) -> None:
    draw = np.random.default_rng([0, arms, seeds])
    false = 0
    for _ in range(2000):
        values = draw.standard_normal((arms + 1, seeds)) + draw.standard_normal(seeds)  # seeds shift all arms alike
        false += any(c.verdict != "inconclusive" for c in compare(table(values), "0", "lower").values())
    assert false / 2000 <= 0.06


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_unadjusted_intervals_cover_at_their_nominal_rate(seeds: int) -> None:
    draw = np.random.default_rng(seeds)
    covered = 0
    for _ in range(4000):
        baseline, arm = draw.standard_normal((2, seeds)) + draw.standard_normal(seeds)
        interval = paired_difference("a", dict(enumerate(arm + 0.7)), "b", dict(enumerate(baseline))).interval
        covered += interval is not None and interval.low <= 0.7 <= interval.high
    assert covered / 4000 == pytest.approx(0.95, abs=0.01)


def test_pairs_only_where_both_arms_were_measured() -> None:
    ours = {0: 1.0, 1: None, 2: math.nan, 3: 4.0, 5: 9.0}
    difference = paired_difference("a", ours, "b", {0: 0.5, 1: 1.0, 2: 1.0, 3: 2.0, 4: 1.0})
    assert difference.seeds == (0, 3)
    assert difference.values == (0.5, 2.0)
    assert difference.interval is not None


@pytest.mark.parametrize("arm", [{}, {0: None}, {7: 1.0}, {0: 1.0}, {0: 1.0, 1: math.inf}])
def test_fewer_than_two_pairs_are_inconclusive_with_a_reason(arm: Scores) -> None:
    found = compare({"base": {0: 2.0, 1: 3.0}, "arm": arm}, "base", "lower")["arm"]
    assert found.verdict == "inconclusive"
    assert found.difference.reason is not None
    assert "a verdict needs two" in found.difference.reason
    assert (found.interval, found.detectable, found.seeds_to_settle) == (None, None, None)


@pytest.mark.parametrize("shift", [0.0, 0.1, -3.0])
def test_differences_without_spread_decide_nothing(shift: float) -> None:
    base = {0: 0.3, 1: 0.7, 2: 1.1}
    found = compare({"base": base, "arm": {k: v + shift for k, v in base.items()}}, "base", "lower")["arm"]
    assert found.verdict == "inconclusive"
    assert found.difference.reason is not None
    assert "same in every seed" in found.difference.reason


def test_one_arm_alone_has_no_verdicts() -> None:
    assert compare({"base": {0: 1.0}}, "base", "lower") == {}


@pytest.mark.parametrize(("effect", "n"), [(0.5, 10), (1.0, 5), (3.0, 3), (0.2, 200)])
def test_power_is_statsmodels_where_that_has_a_value(effect: float, n: int) -> None:
    assert power(effect, n, 0.05) == pytest.approx(TTestPower().power(effect, n, 0.05), abs=1e-6)


def test_power_by_simulation_where_the_noncentral_t_overflows() -> None:
    draws = np.random.default_rng(0).standard_normal((40_000, 2)) + 20
    t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / math.sqrt(2))
    assert power(20, 2, 0.025) == pytest.approx(np.mean(abs(t) > stats.t.isf(0.0125, 1)), abs=0.01)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 100])
def test_detectable_effect_has_a_power_of_80_percent(n: int) -> None:
    assert power(detectable_effect(n, 0.05), n, 0.05) == pytest.approx(0.8, abs=1e-9)
    assert detectable_effect(n, 0.025) > detectable_effect(n, 0.05)


@given(st.floats(0.12, 20))
@settings(max_examples=30, deadline=None)
def test_seeds_needed_is_the_fewest_that_suffice(effect: float) -> None:
    enough = seeds_needed(effect, 0.05)
    assert enough is not None
    assert power(effect, enough, 0.05) >= 0.8
    assert enough == 2 or power(effect, enough - 1, 0.05) < 0.8


def test_an_effect_too_small_to_settle() -> None:
    assert seeds_needed(0.001) is None
    assert seeds_needed(0.5) == math.ceil(TTestPower().solve_power(0.5, alpha=0.05, power=0.8))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_wide_intervals_cover_one_sided_differences_too(seeds: int) -> None:
    draw = np.random.default_rng([1, seeds])
    plain = wide = 0
    for differences in draw.standard_exponential((4000, seeds)):
        found = paired_difference("a", dict(enumerate(map(float, differences))), "b", dict.fromkeys(range(seeds), 0.0))
        assert found.interval is not None
        assert found.wide_interval is not None
        assert found.wide_interval.low <= found.interval.low < found.interval.high <= found.wide_interval.high
        plain += found.interval.low <= 1 <= found.interval.high
        wide += found.wide_interval.low <= 1 <= found.wide_interval.high
    assert plain / 4000 < 0.92
    assert wide / 4000 == pytest.approx(0.95, abs=0.01)


def test_clustered_mean_of_equal_clusters_is_the_t_interval_of_their_means() -> None:
    mean, interval = clustered_mean([1, 2, 3, 4, 5, 9], ["a", "a", "b", "b", "c", "c"])
    low, high = stats.t.interval(0.95, 2, loc=4, scale=stats.sem([1.5, 3.5, 7]))
    assert mean == pytest.approx(4)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_clustered_intervals_cover_where_clips_of_a_video_are_alike() -> None:
    draw = np.random.default_rng(2)
    sources = np.repeat(np.arange(20), 5).tolist()
    clustered = naive = 0
    for _ in range(1000):
        values = draw.standard_normal(20).repeat(5) + draw.standard_normal(100)
        _, interval = clustered_mean(values.tolist(), sources)
        clustered += interval.low <= 0 <= interval.high
        naive += abs(values.mean()) <= stats.t.isf(0.025, 99) * stats.sem(values)
    assert clustered / 1000 == pytest.approx(0.95, abs=0.02)
    assert naive / 1000 < 0.8


@pytest.mark.parametrize(
    ("values", "sources"), [([1.0, 2.0], ["a"]), ([1.0, 2.0], ["a", "a"]), ([1.0, math.nan], "ab"), ([], [])]
)
def test_nothing_to_cluster_is_refused(values: list[float], sources: list[str]) -> None:
    with pytest.raises(ValueError, match="finite values of at least two sources"):
        clustered_mean(values, sources)
