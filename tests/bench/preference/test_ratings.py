from itertools import permutations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import votes

from bench.preference import bradley_terry, elo

SCALE = 400 / np.log(10)
STRENGTHS = {"a": 0.5, "b": 0.0, "c": -0.5}


def elo_over_all_orders(rows, k, start):
    """Elo as the paper writes it, one vote at a time, over every order there is."""
    orders = list(permutations(rows))
    total = dict.fromkeys([arm for row in rows for arm in row[:2]], 0.0)
    for order in orders:
        ratings = dict.fromkeys(total, start)
        for one, two, score in order:
            expected = 1 / (1 + 10 ** ((ratings[two] - ratings[one]) / 400))
            ratings[one] += k * (score - expected)
            ratings[two] += k * ((1 - score) - (1 - expected))
        for arm, rating in ratings.items():
            total[arm] += rating / len(orders)
    return total


def test_one_vote_moves_both_by_half_a_point():
    frame = elo({"left": ["a"], "right": ["b"], "score": [1]})
    assert frame["rating"].to_dict() == {"a": 1000.5, "b": 999.5}
    assert frame.index.name == "arm"
    assert list(frame.columns) == ["rating", "low", "high"]
    assert frame[["low", "high"]].isna().all().all()  # one vote tells nothing of other raters


def test_two_votes_in_a_row_follow_the_formula():
    frame = elo({"left": ["a", "b"], "right": ["b", "a"], "score": [1, 0]}, k=32, start=1500)
    second = 32 * (1 - 1 / (1 + 10 ** (-32 / 400)))
    assert frame.loc["a", "rating"] == pytest.approx(1516 + second)


@pytest.mark.parametrize("k", [1, 64])
def test_elo_is_the_papers(k):
    rows = [("a", "b", 1), ("b", "c", 0.5), ("c", "a", 0), ("a", "b", 1), ("b", "a", 1), ("c", "b", 1)]
    table = pl.DataFrame(rows, schema=["left", "right", "score"], orient="row")
    ours = elo(table, k=k, shuffles=40_000)["rating"]
    for arm, rating in elo_over_all_orders(rows, k, 1000).items():
        assert ours[arm] == pytest.approx(rating, abs=0.02 * k / 16)  # orders move an arm by up to 0.2 k


def test_orders_of_rows_and_sides_do_not_matter_to_the_bit():
    table = votes(STRENGTHS, prompts=3, raters=2, ties=0.2)
    turned = table.select(
        pl.col("right").alias("left"),
        pl.col("left").alias("right"),
        (1 - pl.col("score")).alias("score"),
        "prompt",
        "question",
        "rater",
    )
    for other in (
        table.sample(fraction=1, shuffle=True, seed=3),
        turned,
        table.to_pandas(),
        table.to_dict(as_series=False),
    ):
        pd.testing.assert_frame_equal(elo(other, shuffles=50), elo(table, shuffles=50), check_exact=True)
        pd.testing.assert_frame_equal(bradley_terry(other), bradley_terry(table), check_exact=True)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("def"), st.sampled_from((0, 0.5, 1)), st.sampled_from("xyz")),
        min_size=1,
        max_size=30,
    )
)
def test_points_are_passed_on_and_never_made(rows):
    table = pl.DataFrame(rows, schema=["left", "right", "score", "rater"], orient="row")
    frame = elo(table, k=20, shuffles=20)
    assert frame["rating"].mean() == pytest.approx(1000)
    assert (frame["low"].isna() | (frame["low"] <= frame["rating"])).all()


def test_bradley_terry_reproduces_a_closed_form():
    # two arms: the odds are the wins' ratio
    table = {"left": ["a"] * 4, "right": ["b"] * 4, "score": [1, 1, 1, 0]}
    frame = bradley_terry(table)
    assert frame.loc["a", "rating"] - frame.loc["b", "rating"] == pytest.approx(SCALE * np.log(3))
    assert frame["rating"].mean() == pytest.approx(1000)


def test_a_tie_is_half_a_win_each():
    ties = {"left": ["a"] * 3, "right": ["b"] * 3, "score": [1, 0.5, 0.5]}
    halves = {"left": ["a"] * 3, "right": ["b"] * 3, "score": [1, 1, 0]}
    assert bradley_terry(ties)["rating"].tolist() == pytest.approx(bradley_terry(halves)["rating"].tolist())


def test_known_strengths_are_recovered():
    table = votes(STRENGTHS, prompts=40, raters=10, ties=0.0, seed=4)
    frame = bradley_terry(table)
    for arm, strength in STRENGTHS.items():
        assert frame.loc[arm, "rating"] == pytest.approx(1000 + SCALE * strength, abs=12)  # standard error 3.5
        assert frame.loc[arm, "low"] < 1000 + SCALE * strength < frame.loc[arm, "high"]
    assert elo(table, k=8)["rating"].sort_values(ascending=False).index.tolist() == ["a", "b", "c"]


def test_an_arm_that_always_wins_has_a_finite_rating_with_width():
    table = {"left": ["a", "a", "a", "b"], "right": ["b", "b", "b", "c"], "score": [1, 1, 1, 0]}
    frame = bradley_terry(table)
    assert frame.attrs["regularised"]
    assert np.isfinite(frame.to_numpy()).all()
    assert (frame["high"] - frame["low"] > 50).all()
    assert not bradley_terry(votes(STRENGTHS)).attrs["regularised"]


def test_an_arm_of_ties_alone_has_no_elo_interval():
    table = {"left": ["a"] * 6 + ["c"], "right": ["b"] * 6 + ["a"], "score": [1, 1, 0, 1, 1, 0, 0.5]}
    frame = elo(table)
    assert frame.attrs["tied"] == ["c"]
    assert frame.loc["c", ["low", "high"]].isna().all()
    assert (frame.loc[["a", "b"], "high"] - frame.loc[["a", "b"], "low"] > 1).all()
    assert elo(votes(STRENGTHS)).attrs["tied"] == []


def test_arms_without_a_chain_of_votes_cannot_be_compared():
    table = {"left": ["a", "c"], "right": ["b", "d"], "score": [1, 0]}
    with pytest.raises(ValueError, match=r"no votes connect these arms.*a, b \| c, d"):
        bradley_terry(table)


def test_several_questions_are_averaged():
    one, two = (
        votes(STRENGTHS, prompts=4, raters=2, seed=s).with_columns(question=pl.lit(q)) for s, q in ((1, "x"), (2, "y"))
    )
    both = pl.concat([one, two])
    for rate in (bradley_terry, lambda t: elo(t, shuffles=300)):
        mean = (rate(one)["rating"] + rate(two)["rating"]) / 2
        assert rate(both)["rating"].tolist() == pytest.approx(mean.tolist(), abs=0.05)


def test_inattentive_raters_are_left_out_and_named():
    good = votes(STRENGTHS, prompts=6, raters=3)
    rows = [(1.0, "rater 0", 1.0), (0.0, "rater 0", 0.0), (1.0, "sloppy", 1.0), (1.0, "sloppy", 0.0)]
    checks = pl.DataFrame(rows, schema=["score", "rater", "expected"], orient="row")
    checks = checks.with_columns(left=pl.lit("real"), right=pl.lit("damaged"))
    sloppy = votes({"a": -9, "b": 0, "c": 9}, prompts=6, raters=1).with_columns(rater=pl.lit("sloppy"))
    everything = pl.concat([good, sloppy, checks], how="diagonal")
    frame = elo(everything, shuffles=50)
    pd.testing.assert_frame_equal(frame, elo(good, shuffles=50))
    assert frame.attrs["inattentive"] == [{"rater": "sloppy", "right": 1, "checks": 2}]
    assert frame.attrs["votes"] == len(good)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"left": ["a"], "right": ["b"]}, "score missing"),
        ({"left": ["a"], "right": ["a"], "score": [1]}, "row 0: 'a' stands on both sides"),
        ({"left": ["a", "a"], "right": ["b", "b"], "score": [1, 2]}, r"row 1: score is 2; expected 1 \(left wins\)"),
        ({"left": ["a"], "right": [None], "score": [1]}, "row 0: right names no arm"),
        ({"left": ["a"], "right": ["b"], "score": ["yes"]}, "score is 'yes'"),
        ({"left": [], "right": [], "score": []}, "no votes are left of 0 rows"),
    ],
)
def test_wrong_tables_are_refused(table, message):
    for rate in (elo, bradley_terry):
        with pytest.raises(ValueError, match=message):
            rate(table)


@pytest.mark.slow
@pytest.mark.parametrize(("taste", "prompts", "raters"), [(0.0, 20, 5), (0.4, 12, 12)])
def test_intervals_cover(taste, prompts, raters, monkeypatch):
    """95 % of intervals hold what such studies find on average, also where prompts and raters have tastes."""
    monkeypatch.setattr("bench.preference.bootstrap.REPLICATES", 60)
    studies = [votes(STRENGTHS, prompts=prompts, raters=raters, taste=taste, seed=100 + s) for s in range(40)]
    for rate in (bradley_terry, lambda t: elo(t, shuffles=40)):
        frames = [rate(study) for study in studies]
        truth = sum(frame["rating"] for frame in frames) / len(frames)
        held = np.mean([((f["low"] <= truth) & (truth <= f["high"])).to_numpy() for f in frames])
        assert 0.88 <= held <= 1.0, held  # 120 intervals: 95 % less three and a half standard errors
        width = np.mean([(f["high"] - f["low"]).mean() for f in frames])
        spread = 2 * 1.96 * np.mean(np.std([f["rating"].to_numpy() for f in frames], axis=0, ddof=1))
        assert width < 1.5 * spread  # nor are they just wide
