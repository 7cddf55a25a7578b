"""Differences clip by clip, of metrics that are means over clips: how sure they are, given the networks trained."""

from dataclasses import dataclass

import polars as pl

from ablations.report.clips import all_per_clip
from ablations.report.result import AblationResult
from ablations.statistics import Interval, clustered_mean


@dataclass(frozen=True)
class ClipDifference:
    """
    Mean difference of `clips` pairs, and its 95 % interval clustered by the `sources` that they are made from.

    `interval` is null where there is a single source, or the same difference in every pair: one of no width would
    claim to be certain of what only never happened.
    """

    mean: float
    interval: Interval | None
    clips: int
    sources: int


def clip_differences(result: AblationResult) -> dict[str, dict[str, ClipDifference]]:
    """
    Metric to arm to its difference from the baseline, over all clips of all seeds that both have.

    The i-th clip of every run is made from the i-th held-out video's caption, frames or views: that video is the source
    that clips of different seeds share. Metrics and arms without values per clip are left out.
    """
    table = all_per_clip(result)
    baseline = table.filter(pl.col("arm") == result.baseline).select("seed", "clip", "metric", base="value")
    pairs = table.join(baseline, on=["seed", "clip", "metric"]).sort("seed", "clip")
    found: dict[str, dict[str, ClipDifference]] = {}
    for metric in result.metrics:
        arms = {arm.name: pairs.filter(arm=arm.name, metric=metric) for arm in result.arms}
        own = {arm: _difference(rows) for arm, rows in arms.items() if arm != result.baseline and rows.height}
        if own:
            found[metric] = own
    return found


def _difference(rows: pl.DataFrame) -> ClipDifference:
    values, sources = (rows["value"] - rows["base"]).to_list(), rows["clip"].to_list()
    count = len(set(sources))
    if count == 1 or len(set(values)) == 1:
        return ClipDifference(sum(values) / len(values), None, len(values), count)
    return ClipDifference(*clustered_mean(values, sources), len(values), count)
