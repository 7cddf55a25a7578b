import pytest

from ablations.report.wording import decimals, number, percent, verdict
from ablations.statistics import compare

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
