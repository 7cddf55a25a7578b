"""
How well curation did, where the truth is known: detected transitions, the kept set, and each score alone.

Tables in, numbers out. `truth` has one row a shot: `source, shot, start_frame, end_frame` (half-open, the clean part of
the shot), `fps`, `transition` (how the shot begins), `good`, and the planted defects.
"""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import rankdata

KINDS = ("cut", "fade", "dissolve")
DEFECTS = {"motion": "static", "text_area": "text", "aesthetics": "poor_looks", "alignment": "wrong_caption"}
"""Score -> the planted defect that it should find. Text raises its score, the others lower theirs."""


def cut_f1(transitions: pl.DataFrame, truth: pl.DataFrame, tolerance: int = 1) -> dict[str, dict[str, float | None]]:
    """
    Precision, recall and F1 (0 … 1) of detected `transitions` (`source, frame, kind`) for each kind.

    A detection is right when it is of the planted kind and at most `tolerance` frames outside of the planted one; a
    second one for the same transition is wrong. Also the numbers `planted` and `detected`; a ratio of nothing is null.
    """
    planted = planted_transitions(truth)
    return {
        kind: _f1(transitions.filter(pl.col("kind") == kind), planted.filter(pl.col("kind") == kind), tolerance)
        for kind in KINDS
    }


def planted_transitions(truth: pl.DataFrame) -> pl.DataFrame:
    """`source, kind, first, last` of planted transitions: the frames between clean shots (first = last for a cut)."""
    shots = truth.sort("source", "shot").with_columns(first=pl.col("end_frame").shift(1).over("source"))
    return shots.filter(pl.col("first").is_not_null()).select("source", "first", kind="transition", last="start_frame")


def kept_quality(clips: pl.DataFrame, kept_ids: Collection[str], truth: pl.DataFrame) -> dict[str, float | None]:
    """
    Precision: share of kept clips whose shot is good. Recall: share of good shots that have a kept clip.

    A clip (`clip_id, source, start_s, end_s`) belongs to the shot that it overlaps most in time. A good shot that was
    lost before filtering counts against recall.
    """
    kept = clip_truth(clips, truth).filter(pl.col("clip_id").is_in(list(kept_ids)))
    good = truth.filter("good").height
    found = kept.filter("good").select("source", "shot").n_unique()
    return {
        "precision": _ratio(kept.filter("good").height, kept.height),
        "recall": _ratio(found, good),
        "kept": kept.height,
        "good": good,
    }


def score_subset(subset: Path, curated: Path, corpus: Path, out: Path) -> None:
    """
    Write `scores.json` (`kept_precision, kept_recall, kept_f1, kept_share` → value and error) of a subset artifact.

    `kept_f1` is the harmonic mean of `kept_quality`'s two; a ratio of nothing is null with its reason.
    """
    clips = pl.read_parquet(curated / "clips.parquet").filter(pl.col("error").is_null())
    kept = pl.read_parquet(subset / "subset.parquet")["clip_id"].to_list()
    quality = kept_quality(clips, kept, pl.read_parquet(corpus / "truth.parquet"))
    precision, recall = quality["precision"], quality["recall"]
    both = None if precision is None or recall is None else precision + recall
    values = {
        "kept_precision": precision,
        "kept_recall": recall,
        "kept_f1": 2 * precision * recall / both if precision and recall and both else both,
        "kept_share": _ratio(len(kept), clips.height),
    }
    scores = {
        name: {"value": value, "error": None if value is not None else "a ratio of nothing"}
        for name, value in values.items()
    }
    (out / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")


def clip_truth(clips: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """`clips` with the truth of the shot that each overlaps most in time; clips that overlap none are left out."""
    overlap = pl.min_horizontal("end_s", pl.col("end_frame") / pl.col("truth_fps")) - pl.max_horizontal(
        "start_s", pl.col("start_frame") / pl.col("truth_fps")
    )
    return (
        clips.join(truth.rename({"fps": "truth_fps"}), on="source")
        .with_columns(overlap=overlap)
        .filter(pl.col("overlap") > 0)
        .sort("clip_id", "overlap", descending=[False, True])
        .unique("clip_id", keep="first", maintain_order=True)
    )


def axis_auc(clips: pl.DataFrame, truth: pl.DataFrame) -> dict[str, float | None]:
    """
    For each score, the chance (0 … 1, 0.5 for a useless one) that it tells a clip with its defect from one without.

    Ties count half (Mann-Whitney). Clips without the score are left out; null where either group is empty.
    """
    known = clip_truth(clips, truth)
    return {axis: _auc(known.drop_nulls(axis), axis, defect) for axis, defect in DEFECTS.items()}


def _auc(clips: pl.DataFrame, axis: str, defect: str) -> float | None:
    has_defect = clips[defect].to_numpy()
    worse = clips[axis].to_numpy() * (1 if axis == "text_area" else -1)
    with_defect, without = int(has_defect.sum()), int((~has_defect).sum())
    rank_sum = float(rankdata(worse)[has_defect].sum())
    return _ratio(rank_sum - with_defect * (with_defect + 1) / 2, with_defect * without)


def _f1(detected: pl.DataFrame, planted: pl.DataFrame, tolerance: int) -> dict[str, float | None]:
    pairs = planted.with_row_index("index").join(detected, on="source")
    near = pl.col("frame").is_between(pl.col("first") - tolerance, pl.col("last") + tolerance)
    found = pairs.filter(near)["index"].n_unique()
    return {
        "f1": _ratio(2 * found, planted.height + detected.height),
        "precision": _ratio(found, detected.height),
        "recall": _ratio(found, planted.height),
        "planted": planted.height,
        "detected": detected.height,
    }


def _ratio(part: float, whole: float) -> float | None:
    return float(np.divide(part, whole)) if whole else None
