"""Clips as the report shows them: a few, read out of large files without loading the rest."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import safe_open

from ablations.report.result import AblationResult, Run


def first_clips(path: Path, count: int) -> NDArray[np.uint8]:
    """The first `count` of a file's `videos`: uint8 (N, T, 3, H, W). Raises ValueError if it holds something else."""
    with safe_open(path, framework="np") as file:
        videos: NDArray[Any] = file.get_slice("videos")[:count]
    if videos.dtype != np.uint8 or videos.ndim != 5 or videos.shape[2] != 3:
        raise ValueError(f"{path}: expected uint8 (N, T, 3, H, W), found {videos.dtype} {videos.shape}")
    return videos


def sampled(run: Run, count: int) -> NDArray[np.uint8] | None:
    """The first `count` clips that a run sampled; null if it sampled none."""
    return None if run.samples is None else first_clips(run.samples / "videos.safetensors", count)


def real(result: AblationResult, count: int) -> NDArray[np.uint8] | None:
    """The first `count` real clips: the ones that the prompts describe."""
    return None if result.reference is None else first_clips(result.reference / "clips.safetensors", count)


def prompts(result: AblationResult, count: int | None = None) -> list[str]:
    """The first prompts (all without a `count`): the same in every run."""
    for run in result.runs:
        if run.samples is not None:
            entries = json.loads((run.samples / "prompts.json").read_text(encoding="utf-8"))
            return [str(entry["prompt"]) for entry in entries[:count]]
    return []


def elevations(result: AblationResult, count: int) -> list[float]:
    """The cameras' elevations in degrees of the first clips, where they are orbits around objects; else empty."""
    table = result.reference / "clips.parquet" if result.reference else None
    if table is None or not table.exists() or "elevation" not in pl.read_parquet_schema(table):
        return []
    return pl.read_parquet(table, columns=["elevation"])["elevation"].head(count).drop_nulls().to_list()


def per_clip(run: Run, metrics: tuple[str, ...], count: int) -> list[dict[str, float]]:
    """Metric to value for each of the first `count` clips of a run; empty where a metric has no value per clip."""
    values: list[dict[str, float]] = [{} for _ in range(count)]
    if run.per_clip is not None and run.per_clip.exists():
        table = pl.read_parquet(run.per_clip).filter(pl.col("clip") < count, pl.col("metric").is_in(metrics))
        for clip, metric, value in table.drop_nulls().sort("clip", "metric").select("clip", "metric", "value").rows():
            values[clip][metric] = value
    return values


def all_per_clip(result: AblationResult) -> pl.DataFrame:
    """Every finite value per clip of runs whose clips are there: `arm, seed, clip, metric, value`."""
    parts = [
        pl.read_parquet(run.per_clip)
        .filter(pl.col("value").is_finite())
        .select(pl.lit(run.arm).alias("arm"), pl.lit(run.seed).alias("seed"), "clip", "metric", "value")
        for run in result.runs
        if run.per_clip is not None and run.per_clip.exists() and run.samples is not None and not run.missing
    ]
    schema = {"arm": pl.String, "seed": pl.Int64, "clip": pl.Int64, "metric": pl.String, "value": pl.Float64}
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def clip_of(run: Run, clip: int) -> NDArray[np.uint8]:
    """One clip that a run sampled: uint8 (T, 3, H, W)."""
    if run.samples is None:
        raise ValueError(f"{run.arm}, seed {run.seed}: no samples")
    with safe_open(run.samples / "videos.safetensors", framework="np") as file:
        frames: NDArray[np.uint8] = file.get_slice("videos")[clip : clip + 1][0]
    return frames
