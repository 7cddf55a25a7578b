from dataclasses import replace

import polars as pl
import pytest

from ablations.report.by_clip import clip_differences
from ablations.statistics import clustered_mean


def values(run):
    return pl.read_parquet(run.per_clip)["value"].to_list()


def test_clips_of_one_caption_are_one_cluster(ablation):
    found = clip_differences(ablation)
    assert found.keys() == {"toy_clip_score"}
    assert found["toy_clip_score"].keys() == {"filtered", "same_size_random"}
    ours, theirs = ([ablation.run(arm, seed) for seed in (0, 1, 2)] for arm in ("filtered", "unfiltered"))
    gaps = [a - b for x, y in zip(ours, theirs, strict=True) for a, b in zip(values(x), values(y), strict=True)]
    mean, interval = clustered_mean(gaps, list(range(12)) * 3)
    difference = found["toy_clip_score"]["filtered"]
    assert (difference.clips, difference.sources) == (36, 12)
    assert difference.mean == pytest.approx(mean)
    assert (difference.interval.low, difference.interval.high) == pytest.approx((interval.low, interval.high))


def test_a_single_source_has_no_interval(ablation, tmp_path):
    runs = []
    for number, run in enumerate(ablation.runs):
        pl.read_parquet(run.per_clip).head(1).write_parquet(tmp_path / f"{number}.parquet")
        runs.append(replace(run, per_clip=tmp_path / f"{number}.parquet"))
    found = clip_differences(replace(ablation, runs=tuple(runs)))["toy_clip_score"]["filtered"]
    assert (found.interval, found.clips, found.sources) == (None, 3, 1)


def test_what_never_happened_in_any_clip_has_no_interval(ablation, tmp_path):
    runs = []
    for number, run in enumerate(ablation.runs):
        pl.read_parquet(run.per_clip).with_columns(value=0.0).write_parquet(tmp_path / f"{number}.parquet")
        runs.append(replace(run, per_clip=tmp_path / f"{number}.parquet"))
    found = clip_differences(replace(ablation, runs=tuple(runs)))["toy_clip_score"]["filtered"]
    assert (found.mean, found.interval, found.clips, found.sources) == (0.0, None, 36, 12)


def test_runs_without_values_per_clip_are_left_out(ablation):
    runs = tuple(replace(run, per_clip=None) if run.arm == "unfiltered" else run for run in ablation.runs)
    assert clip_differences(replace(ablation, runs=runs)) == {}
