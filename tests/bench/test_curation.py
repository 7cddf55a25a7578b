import polars as pl
import pytest

from bench.curation import axis_auc, cut_f1, kept_quality

FPS = 10.0


@pytest.fixture
def truth() -> pl.DataFrame:
    """Two sources: cut, then fade in the first; a dissolve in the second. Only the second shots are good."""
    rows = [
        ("a", 0, 0, 30, "start", False),
        ("a", 1, 30, 60, "cut", True),
        ("a", 2, 70, 100, "fade", False),
        ("b", 0, 0, 40, "start", False),
        ("b", 1, 48, 90, "dissolve", True),
    ]
    table = pl.DataFrame(
        rows, schema=["source", "shot", "start_frame", "end_frame", "transition", "good"], orient="row"
    )
    defects = [~pl.col("good").alias("bad")]
    return table.with_columns(fps=pl.lit(FPS)).with_columns(
        *[defects[0].alias(name) for name in ("static", "text", "poor_looks", "wrong_caption")]
    )


def found(*rows: tuple[str, int, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"source": pl.String, "frame": pl.Int32, "kind": pl.String}, orient="row")


def clips(*rows: tuple[str, str, float, float], **scores: list[float | None]) -> pl.DataFrame:
    table = pl.DataFrame(rows, schema=["clip_id", "source", "start_s", "end_s"], orient="row")
    return table.with_columns(
        *[
            pl.Series(name, scores.get(name, [0.0] * len(rows)), dtype=pl.Float64)
            for name in ("motion", "text_area", "aesthetics", "alignment")
        ]
    )


def test_perfect_detection(truth: pl.DataFrame) -> None:
    scores = cut_f1(found(("a", 30, "cut"), ("a", 65, "fade"), ("b", 44, "dissolve")), truth)
    assert {kind: score["f1"] for kind, score in scores.items()} == {"cut": 1.0, "fade": 1.0, "dissolve": 1.0}


def test_tolerance_in_frames(truth: pl.DataFrame) -> None:
    late = found(("a", 32, "cut"))
    assert cut_f1(late, truth, tolerance=1)["cut"]["f1"] == 0.0
    assert cut_f1(late, truth, tolerance=2)["cut"]["f1"] == 1.0


def test_a_second_detection_and_a_wrong_kind_count_against(truth: pl.DataFrame) -> None:
    scores = cut_f1(found(("a", 30, "cut"), ("a", 31, "cut"), ("a", 65, "cut")), truth)
    assert scores["cut"]["precision"] == pytest.approx(1 / 3)
    assert scores["cut"]["recall"] == 1.0
    assert scores["fade"] == {"f1": 0.0, "precision": None, "recall": 0.0, "planted": 1, "detected": 0}


def test_a_clip_is_judged_by_the_shot_it_overlaps_most(truth: pl.DataFrame) -> None:
    table = clips(("x", "a", 2.5, 5.9), ("y", "a", 0.0, 2.4), ("z", "b", 4.8, 9.0))
    assert kept_quality(table, {"x", "y", "z"}, truth) == {"precision": 2 / 3, "recall": 1.0, "kept": 3, "good": 2}
    assert kept_quality(table, {"x"}, truth) == {"precision": 1.0, "recall": 0.5, "kept": 1, "good": 2}
    assert kept_quality(table, set(), truth)["precision"] is None


def test_auc_knows_which_way_each_defect_pulls(truth: pl.DataFrame) -> None:
    rows = (("x", "a", 3.0, 6.0), ("y", "a", 0.0, 3.0), ("z", "a", 7.0, 10.0))  # good, bad, bad
    table = clips(*rows, motion=[2, 1, 1], text_area=[0, 1, 2], aesthetics=[0, -1, 1], alignment=[0.5, 0.5, None])
    assert axis_auc(table, truth) == {"motion": 1.0, "text_area": 1.0, "aesthetics": 0.5, "alignment": 0.5}
