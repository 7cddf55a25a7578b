import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from svd_core.curation.filters import funnel, kept
from svd_core.settings import Keep, Percentile

SCORES = ("motion", "text_area", "aesthetics", "alignment")
scores = st.one_of(st.none(), st.sampled_from([0.0, 0.1, 0.5]), st.floats(-10, 10))
columns = st.lists(st.tuples(scores, scores), min_size=1, max_size=60)
shares = st.floats(0, 0.99)


def table(pairs: list[tuple[float | None, float | None]]) -> pl.DataFrame:
    """Clips with a motion and a text_area score; the other two are constant."""
    return pl.DataFrame(
        {
            "clip_id": [f"{row:04d}" for row in range(len(pairs))],
            "motion": [motion for motion, _ in pairs],
            "text_area": [text for _, text in pairs],
            "aesthetics": [0.0] * len(pairs),
            "alignment": [0.0] * len(pairs),
        },
        schema={"clip_id": pl.String, **dict.fromkeys(SCORES, pl.Float64)},
    )


def ids(clips: pl.DataFrame, keep: Keep) -> set[str]:
    return set(clips.filter(pl.Series(kept(clips, keep)))["clip_id"])


@settings(deadline=None)  # machines are shared
@given(columns, shares)
def test_exactly_the_share_is_dropped_whatever_the_ties(
    pairs: list[tuple[float | None, float | None]], share: float
) -> None:
    scored = sum(motion is not None for motion, _ in pairs)
    left = ids(table(pairs), Keep(motion=Percentile(drop_lowest=share)))
    assert len(left) == scored - int(np.floor(share * scored + 0.5))


@settings(deadline=None)  # machines are shared
@given(columns, shares)
def test_nothing_kept_scores_below_anything_dropped(
    pairs: list[tuple[float | None, float | None]], share: float
) -> None:
    clips = table(pairs).drop_nulls("motion")
    mask = kept(clips, Keep(motion=Percentile(drop_lowest=share)))
    motion = clips["motion"].to_numpy()
    assert motion[mask].min(initial=np.inf) >= motion[~mask].max(initial=-np.inf)


@settings(deadline=None)  # machines are shared
@given(columns, shares, shares)
def test_a_larger_share_keeps_a_subset(
    pairs: list[tuple[float | None, float | None]], first: float, second: float
) -> None:
    clips = table(pairs)
    low, high = sorted((first, second))
    assert ids(clips, Keep(motion=Percentile(drop_highest=high))) <= ids(
        clips, Keep(motion=Percentile(drop_highest=low))
    )


@settings(deadline=None)  # machines are shared
@given(columns, shares, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(
    pairs: list[tuple[float | None, float | None]], share: float, random
) -> None:  # type: ignore[no-untyped-def]
    clips = table(pairs)
    order = list(range(clips.height))
    random.shuffle(order)
    keep = Keep(motion=Percentile(drop_lowest=share), text_area=Percentile(drop_highest=share))
    assert ids(clips[order], keep) == ids(clips, keep)


@settings(deadline=None)  # machines are shared
@given(columns, shares, shares)
def test_axes_are_independent(pairs: list[tuple[float | None, float | None]], first: float, second: float) -> None:
    clips = table(pairs)
    motion, text = Percentile(drop_lowest=first), Percentile(drop_highest=second)
    both = ids(clips, Keep(motion=motion, text_area=text))
    assert both == ids(clips, Keep(motion=motion)) & ids(clips, Keep(text_area=text))


@settings(deadline=None)  # machines are shared
@given(columns, shares)
def test_the_funnel_adds_up(pairs: list[tuple[float | None, float | None]], share: float) -> None:
    clips = table(pairs)
    keep = Keep(motion=Percentile(drop_lowest=share, max=5.0), text_area=Percentile(drop_highest=share))
    steps = funnel(clips, keep)
    remaining = clips.height
    for step in steps:
        assert 0 <= step["removed_in_sequence"] <= step["removed_alone"]
        remaining -= step["removed_in_sequence"]
        assert step["remaining"] == remaining
    assert remaining == kept(clips, keep).sum()


def test_ties_are_not_broken_by_position() -> None:
    clips = table([(0.0, 0.0)] * 100)
    left = ids(clips, Keep(motion=Percentile(drop_lowest=0.5)))
    assert len(left) == 50
    assert left not in ({f"{row:04d}" for row in range(50)}, {f"{row:04d}" for row in range(50, 100)})


def test_a_clip_without_the_score_is_dropped_and_counted() -> None:
    clips = table([(None, 0.0), (1.0, 0.0), (2.0, 0.0)])
    keep = Keep(motion=Percentile(min=0.0))
    assert ids(clips, keep) == {"0001", "0002"}
    assert funnel(clips, keep)[0] == {
        "axis": "motion",
        "predicate": "has no score",
        "threshold": None,
        "removed_alone": 1,
        "removed_in_sequence": 1,
        "remaining": 2,
    }
    assert ids(clips, Keep()) == {"0000", "0001", "0002"}


def test_bounds_are_inclusive_and_thresholds_are_what_is_left() -> None:
    clips = table([(float(motion), 0.0) for motion in range(8)])
    assert ids(clips, Keep(motion=Percentile(min=2.0, max=4.0))) == {"0002", "0003", "0004"}
    steps = funnel(clips, Keep(motion=Percentile(drop_lowest=0.25, drop_highest=0.25)))
    assert [step["threshold"] for step in steps] == [2.0, 5.0]


@pytest.mark.parametrize(
    "rule",
    [{"drop_lowest": 1.0}, {"drop_lowest": -0.1}, {"drop_lowest": 0.5, "drop_highest": 0.5}, {"min": 2.0, "max": 1.0}],
)
def test_impossible_rules_are_refused(rule: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Percentile(**rule)
