"""
Judging a folder of generated videos against a folder of real ones: `ablate score`, with no spec and no run.

A video goes through an encoder once ever: features are kept by content (see `bench.cached_features`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl

from bench.cached_features import FeatureCache, encode_file
from bench.features import Features
from bench.folders import Sampling, Spread, VideoFile, check_alike, open_folder
from bench.measures import OF_CLIPS, OF_PAIRS, OF_TEXTS, ClipValue, clip_values, partners
from bench.metrics.distances import measured_distance
from bench.metrics.protocols import PROTOCOLS, Protocol
from bench.score import Measured, Score
from bench.settings import METRICS, Encoder, check_metric, reference_encoders, required_weights
from svd_core.data.video import VideoError
from svd_core.encoders import weights
from svd_core.encoders.i3d import MIN_FRAMES
from svd_core.progress import Progress, silent

SCHEMA = {"file": pl.String, "clip": pl.Int64, "metric": pl.String, "value": pl.Float64}


@dataclass(frozen=True)
class Request:
    """What to score, and how. `texts` maps generated videos' names to their prompts, for metrics that need them."""

    real: Path
    generated: Path
    metrics: tuple[str, ...]
    protocol: Protocol = PROTOCOLS["stylegan-v"]
    fps: float | None = None
    size: tuple[int, int] | None = None
    texts: Mapping[str, str] | None = None
    device: str = "cpu"

    def sampling(self, of_real: bool) -> Sampling:
        """How one of the two sets is sampled."""
        start = self.protocol.start_real if of_real else self.protocol.start_generated
        return Sampling(self.protocol, start, self.fps, self.size)


@dataclass(frozen=True)
class Scored:
    """`scores` by metric, and `per_clip` (`file, clip, metric, value`) of the metrics that are means over clips."""

    request: Request
    scores: dict[str, Score]
    per_clip: pl.DataFrame

    def write(self, out: Path) -> None:
        """`scores.json` and `per_clip.parquet` in `out`."""
        out.mkdir(parents=True, exist_ok=True)
        self.per_clip.write_parquet(out / "per_clip.parquet")
        (out / "scores.json").write_text(self.as_json() + "\n")

    def as_json(self) -> str:
        """Folders, protocol and scores; a metric that could not be computed is null, with its reason in `error`."""
        asked = {key: str(getattr(self.request, key)) for key in ("real", "generated")}
        sampling = {"protocol": asdict(self.request.protocol), "fps": self.request.fps, "size": self.request.size}
        scores = {name: asdict(score) for name, score in self.scores.items()}
        return json.dumps({**asked, **sampling, "scores": scores}, indent=1, allow_nan=False)


def score_folders(request: Request, cache: Path, *, spread: Spread = map, progress: Progress = silent) -> Scored:
    """
    Every metric of the request over whole folders; features come from `cache` or go there.

    `spread` applies a function to every file: `map`, or that of a pool of processes, which changes no bit as each clip
    goes through an encoder alone.

    Memory holds one clip, the features, and one value a clip and metric. Raises ValueError for unknown metrics and for
    folders that do not suit them or each other, VideoError (naming the file) for videos too short or damaged, and
    WeightsError for weights missing or damaged: before the first forward wherever that can be known.
    """
    check_request(request)
    real, generated = (open_folder(folder) for folder in (request.real, request.generated))
    check_sets(request, real, generated)
    encoders = reference_encoders(request.metrics)
    single = [name for name in request.metrics if not METRICS[name].set_metric]
    total = (len(real) + len(generated)) * bool(encoders) + len(generated) * len(single)
    done = count(1)

    def tick() -> None:
        progress(next(done), total)

    kept = FeatureCache(cache, request.device)
    theirs, ours = (
        features_of(files, request.sampling(of_real), encoders, kept, spread=spread, tick=tick)
        for files, of_real in ((real, True), (generated, False))
    )
    rows: list[ClipValue] = []
    sampling = request.sampling(of_real=False)
    for name in single:
        rows += clip_values(name, sampling, generated, real, request.texts, spread=spread, tick=tick)
    per_clip = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return Scored(request, scores_of(request, generated, ours, theirs, per_clip), per_clip)


def scores_of(
    request: Request,
    generated: Sequence[VideoFile],
    ours: Mapping[Encoder, Features],
    theirs: Mapping[Encoder, Features],
    per_clip: pl.DataFrame,
) -> dict[str, Score]:
    """Every metric of the request, from features and values a clip."""
    clips = sum(len(request.sampling(of_real=False).starts(file)) for file in generated)
    size = request.size or request.protocol.crop or (generated[0].height, generated[0].width)
    scores = {}
    for name in request.metrics:
        encoder = METRICS[name].encoder
        if METRICS[name].set_metric and encoder:
            measured = distance(name, ours[encoder], theirs[encoder], clips)
        else:
            measured = finite_mean(per_clip.filter(pl.col("metric") == name))
        scores[name] = describe(name, request, measured, clips, f"{size[0]}x{size[1]}")
    return scores


def check_request(request: Request) -> None:
    """Refuse what can be told without opening a video: metrics, weights, prompts, frames."""
    for name in request.metrics:
        check_metric(name)
        if not METRICS[name].set_metric and name not in {**OF_CLIPS, **OF_PAIRS, **OF_TEXTS}:
            raise ValueError(f"metric {name!r} judges runs of an ablation only; it cannot score folders")
        if name in OF_TEXTS and request.texts is None:
            raise ValueError(f"metric {name!r} compares videos with their prompts: give --prompts")
    if request.texts is not None and not OF_TEXTS.keys() & set(request.metrics):
        raise ValueError(f"no metric that is asked for reads prompts: add {', '.join(OF_TEXTS)}, or leave them out")
    for name in required_weights(request.metrics):
        weights.locate(name)
    if any(METRICS[name].encoder in ("i3d_k400", "i3d_torchscript") for name in request.metrics):
        frames = request.protocol.frames
        if frames < MIN_FRAMES:
            raise ValueError(f"FVD and KVD need at least {MIN_FRAMES} frames a clip, got {frames}")


def check_sets(request: Request, real: Sequence[VideoFile], generated: Sequence[VideoFile]) -> None:
    """Refuse sets that are too small, too short, unlike each other, or not each other's partners where that matters."""
    check_alike((real, generated), request.sampling(True))
    for files, folder, of_real in ((real, request.real, True), (generated, request.generated, False)):
        clips = sum(len(request.sampling(of_real).starts(file)) for file in files)
        if reference_encoders(request.metrics) and clips < 2:
            raise ValueError(f"{folder} holds {clips} clip, and a distance between sets needs at least 2 on each side")
    for name in request.metrics:
        if name in OF_PAIRS:
            sampling, partner = request.sampling(of_real=False), partners(real, generated)
            for file in generated:
                counts = [len(sampling.starts(side)) for side in (file, partner[file.name])]
                if counts[0] != counts[1]:
                    raise VideoError(file.path, f"has {counts[0]} clips, and {partner[file.name].path} has {counts[1]}")
        if name in OF_TEXTS:
            missing = [file for file in generated if file.name not in (request.texts or {})]
            if missing:
                raise VideoError(missing[0].path, f"has no prompt under {missing[0].name!r} ({len(missing)} without)")


def features_of(
    files: Sequence[VideoFile],
    sampling: Sampling,
    encoders: Sequence[Encoder],
    kept: FeatureCache,
    *,
    spread: Spread = map,
    tick: Callable[[], None] = lambda: None,
) -> dict[Encoder, Features]:
    """Features (n, d) of a set under each encoder, in the files' order; each video is decoded at most once."""
    if not encoders:
        return {}
    missing = [file for file in files if any(kept.read(encoder, sampling, file) is None for encoder in encoders)]
    for _ in range(len(files) - len(missing)):
        tick()
    for _ in spread(partial(encode_file, sampling, tuple(encoders), kept), missing):
        tick()
    return {
        encoder: np.concatenate([kept.must_read(encoder, sampling, file) for file in files]) for encoder in encoders
    }


def distance(name: str, ours: Features, theirs: Features, clips: int) -> Measured:
    """A set metric; what cannot be computed becomes its reason, so that the other metrics stand."""
    encoder, per_clip = METRICS[name].encoder or "", len(ours) // clips
    frames = None if encoder.startswith("i3d") else per_clip
    try:
        value, stderr = measured_distance(METRICS[name].distance, ours, theirs, clips)
    except ValueError as error:
        return Measured(error=str(error))
    return Measured(value, stderr, n_reference=len(theirs) // per_clip, frames=frames)


def finite_mean(values: pl.DataFrame) -> Measured:
    """
    The mean over clips, or why there is none: equal images, for example, have an infinite PSNR.

    Clips of one video are no independent evidence, so its standard error is clustered by file (Liang & Zeger 1986, with
    g/(g-1) for g files; for one clip a file it is the ordinary one). Null for a single file.
    """
    wrong = values.filter(~pl.col("value").is_finite())
    if wrong.height:
        return Measured(error=f"{wrong.height} of {values.height} clips have no finite value, first {wrong['file'][0]}")
    per_clip = values["value"].to_numpy()
    residuals = values.with_columns(pl.col("value") - per_clip.mean())
    sums = residuals.group_by("file", maintain_order=True).agg(pl.col("value").sum())["value"].to_numpy()
    files = len(sums)
    stderr = float(np.sqrt(files / (files - 1) * np.sum(sums**2)) / len(per_clip)) if files > 1 else None
    return Measured(float(per_clip.mean()), stderr, per_clip)


def describe(name: str, request: Request, measured: Measured, clips: int, resolution: str) -> Score:
    """A measurement with everything that a table must say of it."""
    metric = METRICS[name]
    label = metric.label
    if (metric.encoder or "").startswith("i3d"):
        label = f"{label.removesuffix(']')}, {request.protocol.name}]"
    return Score(
        value=measured.value,
        name=label,
        direction=metric.direction,
        encoder=metric.encoder,
        weights=weights.verify(metric.encoder) if metric.encoder else None,
        n=clips,
        n_reference=measured.n_reference,
        frames=measured.frames or request.protocol.frames,
        resolution=resolution,
        error=measured.error,
        stderr=measured.stderr,
    )
