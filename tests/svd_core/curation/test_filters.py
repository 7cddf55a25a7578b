from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from svd_core.curation.filters import funnel, kept, sift
from svd_core.curation.rules import id_hash
from svd_core.curation.settings import Keep, Percentile
from svd_core.curation.table import on_disk

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


def test_an_axis_with_nothing_set_filters_nothing_and_is_as_one_left_out():
    empty = Keep.model_validate({"motion": {}, "fps": {"min": None}, "alignment": {"drop_lowest": None}})
    assert empty == Keep()
    assert empty.model_dump() == Keep().model_dump()


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


@settings(deadline=None)  # machines are shared
@given(columns, shares, shares)
def test_shares_and_ties_are_as_sorting_by_score_and_hash_says(
    pairs: list[tuple[float | None, float | None]], low: float, high: float
) -> None:
    clips = table(pairs)
    scored = [(motion, id_hash(clip)) for clip, motion in zip(clips["clip_id"], clips["motion"], strict=True)]
    rows = [row for row, (motion, _) in enumerate(scored) if motion is not None]
    for share, rule, sign in ((low, "drop_lowest", 1), (high, "drop_highest", -1)):
        order = sorted(rows, key=lambda row: (sign * scored[row][0] + 0.0, scored[row][1]))
        expected = {clips["clip_id"][row] for row in order[int(np.floor(share * len(rows) + 0.5)) :]}
        assert ids(clips, Keep(motion=Percentile(**{rule: share}))) == expected


@pytest.mark.parametrize("held", [0, 1000])
def test_a_table_on_disk_is_filtered_batch_by_batch_alike(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its numbers are held or decoded at each pass."""
    rng = np.random.default_rng(0)
    motion = [None if draw > 0.9 else round(draw, 1) for draw in rng.random(500)]  # nulls and many ties
    clips = table([(score, text) for score, text in zip(motion, rng.random(500), strict=True)])
    clips = clips.with_columns(error=pl.when(pl.int_range(500) % 7 == 0).then(pl.lit("broken")))
    clips.write_parquet(tmp_path / "clips.parquet")
    monkeypatch.setattr("svd_core.curation.table.BATCH_ROWS", 64)
    monkeypatch.setattr("svd_core.curation.table.HELD_ROWS", held)
    keep = Keep(motion=Percentile(drop_lowest=0.33), text_area=Percentile(drop_highest=0.2, min=0.01))
    counted, sifted = sift(on_disk(tmp_path / "clips.parquet"), keep)
    batches = [(batch.column("clip_id").to_pylist(), mask) for batch, mask in sifted]
    assert len(batches) == 8
    whole = clips.filter(pl.col("error").is_null())
    found = [clip for names, mask in batches for clip, is_kept in zip(names, mask, strict=True) if is_kept]
    assert found == whole.filter(pl.Series(kept(whole, keep)))["clip_id"].to_list()
    assert counted.entries() == funnel(whole, keep)
    assert (counted.clips, counted.kept) == (whole.height, len(found))


def test_camera_motion_duplicates_and_sizes_are_filtered_too() -> None:
    clips = table([(1.0, 0.0)] * 4).with_columns(
        camera_motion=pl.Series(["zoom", "horizontal", None, "zoom"]),
        duplicate_of=pl.Series([None, "0000", None, "0000"]),
        width=pl.Series([640, 1280, 1280, 1920], dtype=pl.Int32),
    )
    assert ids(clips, Keep(camera_motion="zoom")) == {"0000", "0003"}
    assert ids(clips, Keep(duplicate_of="drop")) == {"0000", "0002"}
    assert ids(clips, Keep(width=Percentile(min=1280))) == {"0001", "0002", "0003"}
    steps = funnel(clips, Keep(camera_motion="zoom", duplicate_of="drop", width=Percentile(max=1280)))
    assert [(step["axis"], step["removed_alone"], step["remaining"]) for step in steps] == [
        ("width", 1, 3),
        ("camera_motion", 2, 1),
        ("duplicate_of", 2, 1),
    ]


def test_axes_that_are_not_filtered_by_do_not_change_what_is_hashed() -> None:
    assert list(Keep().model_dump()) == ["motion", "text_area", "aesthetics", "alignment"]
    assert Keep.model_validate(Keep(camera_motion="zoom").model_dump()) == Keep(camera_motion="zoom")
