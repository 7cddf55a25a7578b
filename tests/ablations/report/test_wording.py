import pytest

from ablations.report.wording import decimals, identical, number, percent, precise, verdict, with_interval
from ablations.statistics import Interval, compare

BASE = {0: 10.0, 1: 12.0, 2: 11.0}


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [(None, 2, "–"), (-3.14159, 2, "−3.14"), (-0.004, 2, "0.00"), (792.16, 0, "792"), (0.0, 1, "0.0")],
)
def test_number(value: float | None, places: int, text: str) -> None:
    assert number(value, places) == text


def test_signs() -> None:
    assert [number(v, 1, signed=True) for v in (1.0, -1.0, 0.01)] == ["+1.0", "−1.0", "0.0"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0.0, "0.0000"), (-0.3, "−0.3000"), (0.00006, "+0.0001"), (0.0000123, "+0.000012"),
        (-0.00004, "−0.000040"), (9.96e-6, "+0.0000100"), (-1.26e-12, "−1.3e−12"),
    ],
)  # fmt: skip
def test_a_difference_never_rounds_away(value: float | None, text: str) -> None:
    assert precise(value, 4, signed=True) == text


def test_nor_do_the_ends_of_its_interval() -> None:
    interval = Interval(-0.0000031, 0.25, 0.95)
    assert with_interval(0.00002, interval, 3, "*") == "+0.000020* [−0.0000031, +0.250]"
    assert with_interval(0.0, None, 3) == "0.000"


@pytest.mark.parametrize(
    ("spreads", "means", "places"),
    [
        ([31.0, 43.0, 72.0], [792.0], 0),
        ([1.7, 2.3], [30.0], 1),
        ([0.0052], [0.3], 4),
        ([], [946.0], 1),
        ([0.0], [0.31], 4),
    ],
)
def test_two_significant_digits_of_the_spread(spreads: list[float], means: list[float], places: int) -> None:
    assert decimals(spreads, means) == places
    assert decimals([], []) == 2


def test_percent() -> None:
    assert [percent(share) for share in (0.95, 0.975, 1 - 0.05 / 3, 1.0)] == ["95 %", "97.5 %", "98.33 %", "100 %"]


def test_sentence_of_an_arm_that_is_better() -> None:
    arms = {"unfiltered": {0: 961.4, 1: 982.7, 2: 894.2}, "filtered": {0: 802.5, 1: 796.9, 2: 777.1}}
    sentence = verdict(compare(arms, "unfiltered", "lower")["filtered"], "FVD[i3d-k400]", 0)
    assert (
        sentence == "filtered beats unfiltered: FVD[i3d-k400] lower by 154 (95 % interval 68 to 240, 3 paired seeds)."
    )


def test_sentence_of_an_arm_that_is_worse() -> None:
    arms = {"base": BASE, "arm": {0: 7.0, 1: 9.1, 2: 7.9}}
    sentence = verdict(compare(arms, "base", "higher")["arm"], "score", 1)
    assert sentence.startswith("arm is worse than base: score lower by 3.0 (95 % interval 2.8 to 3.2, 3 paired seeds)")


def test_sentence_of_an_inconclusive_arm_says_what_could_have_been_seen() -> None:
    found = compare({"base": BASE, "arm": {0: 9.0, 1: 12.5, 2: 10.0}, "other": BASE}, "base", "lower")["arm"]
    sentence = verdict(found, "FVD", 1)
    assert sentence.startswith("arm against base is inconclusive: FVD lower by 0.5 (97.5 % interval from ")
    assert " lower to " in sentence
    assert "Holm-adjusted for 2 arms, 3 paired seeds" in sentence
    assert f"a true difference of {found.detectable:.1f} is found four times in five" in sentence
    assert f"would take about {found.seeds_to_settle} seeds." in sentence


def test_sentence_without_an_interval_gives_the_reason() -> None:
    sentence = verdict(compare({"base": BASE, "arm": {0: 9.0}}, "base", "lower")["arm"], "FVD", 1)
    assert sentence == "arm against base is inconclusive: only one seed has both arms; a verdict needs two."


def test_sentence_of_an_arm_outside_the_family_claims_nothing() -> None:
    scores = {"base": BASE, "arm": {0: 9.0, 1: 9.5, 2: 9.1}, "other": {0: 8.0, 1: 9.9, 2: 9.3}}
    sentence = verdict(compare(scores, "base", "lower", family=["arm"])["other"], "FVD", 1)
    assert sentence.startswith("other against base is outside the family that the verdict covers: FVD ")
    assert "Holm" not in sentence


def test_sentence_of_an_arm_outside_the_family_without_an_interval_claims_nothing_either() -> None:
    scores = {"base": BASE, "arm": {0: 9.0, 1: 9.5, 2: 9.1}, "other": {0: 8.0}}
    sentence = verdict(compare(scores, "base", "lower", family=["arm"])["other"], "FVD", 1)
    assert sentence == (
        "other against base is outside the family that the verdict covers: only one seed has both arms; a verdict "
        "needs two."
    )


def test_sentence_of_a_difference_too_small_for_the_columns_digits() -> None:
    arm = {seed: value + tiny for (seed, value), tiny in zip(BASE.items(), (1e-5, -1e-5, 2e-5), strict=True)}
    sentence = verdict(compare({"base": BASE, "arm": arm}, "base", "lower")["arm"], "LPIPS", 4)
    assert "higher by 0.0000067 (95 % interval from 0.000031 lower to 0.000045 higher" in sentence
    assert "0.0000 " not in sentence
    assert "as small as the 0.0000067 seen" in sentence


def test_sentence_of_an_arm_that_made_the_same() -> None:
    sentence = identical(compare({"base": BASE, "arm": BASE}, "base", "lower")["arm"])
    assert sentence.startswith(
        "arm cannot be told from base: their scores are identical to the bit in every metric (3 "
    )
