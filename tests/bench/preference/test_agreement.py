import numpy as np
import pytest
from simulated import votes

from bench.preference import krippendorff_alpha, win_rates


def test_win_rates_count_ties_as_half():
    table = {"left": ["a", "b", "a"], "right": ["b", "a", "c"], "score": [1, 0.5, 0]}
    share, shown = win_rates(table)
    assert share.loc["a", "b"] == 0.75
    assert share.loc["b", "a"] == 0.25
    assert share.loc["c", "a"] == 1
    assert np.isnan(share.loc["b", "c"])
    assert np.isnan(share.loc["a", "a"])
    assert shown.loc["a", "b"] == shown.loc["b", "a"] == 2


def table(*judgements):
    """Prompt by prompt, what every rater said."""
    rows = [(f"p{p}", f"r{r}", score) for p, all_scores in enumerate(judgements) for r, score in enumerate(all_scores)]
    prompts, raters, scores = zip(*[row for row in rows if row[2] is not None], strict=True)
    n = len(scores)
    return {"left": ["a"] * n, "right": ["b"] * n, "score": scores, "prompt": prompts, "rater": raters}


def test_full_agreement_is_one():
    assert krippendorff_alpha(table((1, 1, 1), (0, 0, 0), (0.5, 0.5, 0.5)))[0] == pytest.approx(1)


def test_alpha_is_krippendorffs_of_a_published_example():
    # Krippendorff, "Computing Krippendorff's alpha-reliability" (2011), B: two observers, binary data: 0.095
    one = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0)
    two = (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    alpha, reason = krippendorff_alpha(table(*zip(one, two, strict=True)))
    assert reason is None
    assert alpha == pytest.approx(0.095, abs=5e-4)


def test_chance_is_about_zero():
    alpha, _ = krippendorff_alpha(votes({"a": 0, "b": 0, "c": 0}, prompts=40, raters=4))
    assert abs(alpha) < 0.1


def test_what_cannot_be_told_is_null_with_a_reason():
    assert krippendorff_alpha(table((1,), (None, 0))) == (None, "no two raters judged the same pair")
    assert krippendorff_alpha(table((1, 1), (1, 1))) == (None, "all votes on what two raters judged are equal")
