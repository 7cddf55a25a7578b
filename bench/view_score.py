"""
Judging folders of generated views against rendered ones: `ablate score-views`, the paper's multi-view protocol.

Both folders hold a folder an object, as `svd_core.data.orbits` describes them; one object is in memory at a time.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.metrics import clip_similarity, lpips, psnr, ssim
from bench.metrics.epipolar import consistent_pairs
from bench.metrics.result import Result
from bench.names import check_name
from bench.score import Measured, Score, mean_of
from bench.settings import METRICS
from svd_core.data.orbits import Orbit, read_orbit, read_views
from svd_core.encoders import weights
from svd_core.progress import Progress, silent

PAIRED: dict[str, Callable[[Tensor, Tensor], Result]] = {
    "lpips": lpips,
    "lpips_vgg16": lambda a, b: lpips(a, b, net="vgg16"),
    "psnr": psnr,
    "ssim": ssim,
    "clip_similarity": clip_similarity,
}
"""Of true and generated views (V, 3, H, W) but the given one."""
TSED = ("tsed", "tsed_truth")
"""Shares of consistent neighbours; the true views' is the most that can be asked for."""
DEFAULT = ("lpips", "psnr", "clip_similarity", "ssim", *TSED)
SCHEMA = {"object": pl.String, "view": pl.Int64, "metric": pl.String, "value": pl.Float64}


@dataclass(frozen=True)
class ViewScores:
    """`scores` by metric, and `per_view` (`object, view, metric, value`; of a pair of views the second)."""

    real: Path
    generated: Path
    scores: dict[str, Score]
    per_view: pl.DataFrame

    def write(self, out: Path) -> None:
        """`scores.json` and `per_view.parquet` in `out`."""
        out.mkdir(parents=True, exist_ok=True)
        self.per_view.write_parquet(out / "per_view.parquet")
        (out / "scores.json").write_text(self.as_json() + "\n")

    def as_json(self) -> str:
        """Folders and scores; a metric that could not be computed is null, with its reason in `error`."""
        scores = {name: asdict(score) for name, score in self.scores.items()}
        folders = {"real": str(self.real), "generated": str(self.generated)}
        return json.dumps({**folders, "scores": scores}, indent=1, allow_nan=False)


def score_views(
    real: Path, generated: Path, metrics: Sequence[str] | None = None, *, progress: Progress = silent
) -> ViewScores:
    """
    The metrics over all objects: the mean over an object's views, the given (first) one left out, then over objects.

    Without `metrics` all but LPIPS[vgg16] are measured, and CLIP similarity is null with a reason where the user has no
    CLIP; metrics that are named need their weights. Raises ValueError naming the object or file for folders that do not
    match, unreadable or unequal images and bad cameras, and WeightsError for weights missing or damaged.
    """
    wanted, errors = _wanted(metrics)
    names = _objects(real, generated)
    rows: list[tuple[str, int, str, float]] = []
    orbit: Orbit | None = None
    for number, name in enumerate(names, start=1):
        orbit = read_orbit(real / name)
        views = _views(generated / name, orbit, real / name)
        for metric in wanted:
            try:
                values = _measured(metric, views, orbit)
            except ValueError as error:
                raise ValueError(f"{generated / name}: {error}") from error
            rows += [(name, view, metric, float(value)) for view, value in enumerate(values, start=1)]
        progress(number, len(names))
    per_view = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    means = {metric: _mean(per_view.filter(pl.col("metric") == metric)) for metric in wanted}
    means |= {metric: Measured(error=error) for metric, error in errors.items()}
    height, width = orbit.images.shape[1:3] if orbit else (0, 0)
    scores = {m: _described(m, means[m], len(names), f"{height}x{width}", per_view) for m in metrics or DEFAULT}
    return ViewScores(real, generated, scores, per_view)


def _wanted(metrics: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    """The metrics to measure, and why others cannot be."""
    known = [*PAIRED, *TSED]
    for name in metrics or ():
        check_name(name, known, "metric of views")
    wanted, errors = [], {}
    for name in dict.fromkeys(metrics or DEFAULT):
        encoder = METRICS[name].encoder
        try:
            if encoder:
                weights.locate(encoder)
        except weights.MissingWeights as error:
            if metrics or encoder != "clip":
                raise
            errors[name] = str(error)
        else:
            wanted.append(name)
    return wanted, errors


def _objects(real: Path, generated: Path) -> list[str]:
    """The objects' names, which both folders have to share."""
    theirs, ours = ({path.name for path in _folders(root)} for root in (real, generated))
    if theirs != ours:
        alone = min(theirs ^ ours)
        side, other = (real, generated) if alone in theirs else (generated, real)
        raise ValueError(
            f"{side} has an object {alone!r} and {other} has not ({len(theirs)} true objects, {len(ours)} generated)"
        )
    return sorted(theirs)


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        raise ValueError(f"{root} is no folder")
    folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if not folders:
        raise ValueError(f"{root} holds no objects: expected OBJECT/000.png, 001.png, … in it")
    return folders


def _views(folder: Path, orbit: Orbit, truth: Path) -> NDArray[np.uint8]:
    """The generated views uint8 (V, H, W, 3) behind the true given one, which the folder need not hold."""
    count = len(orbit.images)
    if count < 2:
        raise ValueError(f"{truth} has {count} view: there is none to judge beside the given one")
    extra = sorted({path.name for path in folder.glob("*.png")} - {f"{number:03d}.png" for number in range(count)})
    if extra:
        raise ValueError(f"{folder / extra[0]} has no partner: {truth} has views 000.png to {count - 1:03d}.png")
    views = read_views(folder, range(1, count))
    if views.shape[1:] != orbit.images.shape[1:]:
        seen, wanted = (f"{height}x{width}" for height, width in (views.shape[1:3], orbit.images.shape[1:3]))
        raise ValueError(f"{folder}: views are {seen}, those in {truth} {wanted} (height x width)")
    return np.concatenate([orbit.images[:1], views])


def _measured(metric: str, views: NDArray[np.uint8], orbit: Orbit) -> NDArray[np.float64]:
    """One value a view (or pair of neighbours) of one object."""
    if metric in TSED:
        judged = views if metric == "tsed" else orbit.images
        return consistent_pairs(judged.transpose(0, 3, 1, 2), orbit.cameras)
    ours, theirs = (torch.from_numpy(images[1:]).permute(0, 3, 1, 2).float() / 255 for images in (views, orbit.images))
    per_view = PAIRED[metric](ours, theirs).per_clip
    return np.zeros(0) if per_view is None else per_view


def _mean(values: pl.DataFrame) -> Measured:
    """The mean over views, then over objects, with its standard error over objects; or why there is none."""
    wrong = values.filter(~pl.col("value").is_finite())
    if wrong.height:
        first = wrong.row(0, named=True)
        return Measured(error=f"{wrong.height} views have no finite value, first {first['object']}/{first['view']:03d}")
    objects = values.group_by("object", maintain_order=True).agg(pl.col("value").mean())["value"].to_numpy()
    return mean_of(objects)


def _described(name: str, measured: Measured, objects: int, resolution: str, per_view: pl.DataFrame) -> Score:
    metric = METRICS[name]
    return Score(
        value=measured.value,
        name=metric.label,
        direction=metric.direction,
        encoder=metric.encoder,
        weights=weights.verify(metric.encoder) if metric.encoder and measured.value is not None else None,
        n=objects,
        n_reference=None,
        frames=per_view.filter(pl.col("metric") == name)["view"].n_unique(),
        resolution=resolution,
        error=measured.error,
        stderr=measured.stderr,
    )
