"""Judging one run's clips: every metric by name, with what it was measured with."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file

from bench.features import Features, Videos, features
from bench.held_out import Truth, against, camera_share
from bench.measures import OF_CLIPS
from bench.metrics.clip_score import clip_scores, toy_clip_score
from bench.metrics.distances import measured_distance
from bench.settings import METRICS, Direction, Encoder, Metric, ScoreSettings
from svd_core.encoders import weights
from svd_core.encoders.toy_clip import ToyClip
from svd_core.progress import Progress, silent


@dataclass(frozen=True)
class Score:
    """One metric of one run. `error` says why `value` is null."""

    value: float | None
    name: str
    direction: Direction
    encoder: str | None
    weights: str | None
    n: int
    n_reference: int | None
    frames: int
    resolution: int | str
    error: str | None = None
    stderr: float | None = None


def score(
    settings: ScoreSettings,
    samples: Path,
    reference: Mapping[str, Path],
    toy_clip: Path | None,
    out: Path,
    *,
    held_out: Path | None = None,
    progress: Progress = silent,
) -> None:
    """
    Write `scores.json` (metric → `Score`) and `per_clip.parquet` (`clip, metric, value`) for a run's samples.

    `reference` holds the reference-features artifact of each encoder that a set metric needs, `held_out` the true clips
    that paired metrics compare with. A metric that cannot be computed is null with its reason; the others stand.
    """
    videos = load_file(samples / "videos.safetensors")["videos"]
    entries = json.loads((samples / "prompts.json").read_text())
    texts = Texts([entry["prompt"] for entry in entries], [float(entry["fps"]) for entry in entries], toy_clip)
    truth = Truth.load(samples, held_out) if held_out else None
    ours: dict[Encoder, Features] = {}
    scores, per_clip = {}, [pl.DataFrame(schema={"clip": pl.Int64, "metric": pl.String, "value": pl.Float64})]
    for number, name in enumerate(settings.metrics):
        listen = partial(_as_part, progress, number, len(settings.metrics))
        measured = measure(name, videos, texts, reference, truth, ours, progress=listen)
        scores[name] = describe(METRICS[name], videos, measured)
        if measured.per_clip is not None:
            clips = np.arange(len(videos), dtype=np.int64)
            per_clip.append(pl.DataFrame({"clip": clips, "metric": [name] * len(videos), "value": measured.per_clip}))
        listen(1, 1)
    pl.concat(per_clip).write_parquet(out / "per_clip.parquet")
    text = json.dumps({name: asdict(entry) for name, entry in scores.items()}, indent=1)
    (out / "scores.json").write_text(text + "\n")


@dataclass(frozen=True)
class Texts:
    """What is known of every clip: its prompt, and its frames a second; the small encoder that reads the prompts."""

    prompts: list[str]
    rates: list[float]
    toy_clip: Path | None


@dataclass(frozen=True)
class Measured:
    """
    What a metric found: a value with its standard error, or the reason why there is none.

    `frames` are those used of each clip, if not all.
    """

    value: float | None = None
    stderr: float | None = None
    per_clip: NDArray[np.float64] | None = None
    weights: str | None = None
    n_reference: int | None = None
    frames: int | None = None
    error: str | None = None


PASSING = re.compile("out of memory|can't allocate memory|CUDA|CUBLAS|CUDNN|cannot use GPU", re.IGNORECASE)
"""In messages of PyTorch about the machine, not the clips."""


def measure(
    name: str,
    videos: Videos,
    texts: Texts,
    reference: Mapping[str, Path],
    truth: Truth | None,
    ours: dict[Encoder, Features],
    *,
    progress: Progress = silent,
) -> Measured:
    """
    One metric; a failure becomes its reason, so that the other metrics stand.

    What may go well another time is raised: a full memory, a GPU or disk that does not answer, weights or a package
    that are not there. A reason is kept for ever.

    `ours` keeps the features of the clips, so that a second metric on the same encoder costs no forward.
    """
    encoder = METRICS[name].encoder
    try:
        if METRICS[name].set_metric and encoder:
            return distance(METRICS[name], encoder, videos, reference, ours, progress)
        if name == "clip_score":
            return clip_agreement(videos, texts.prompts)
        if name == "toy_clip_score":
            return toy_agreement(videos, texts.prompts, texts.toy_clip)
        found = mean_of(of_each_clip(name, videos, texts, truth))
        return replace(found, weights=weights.verify(encoder) if encoder else None)
    except (ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, weights.WeightsError) or PASSING.search(str(error)):
            raise
        return Measured(error=f"{type(error).__name__}: {error}")


def of_each_clip(name: str, videos: Videos, texts: Texts, truth: Truth | None) -> NDArray[np.float64]:
    """A metric's value of every clip. Raises ValueError for a paired one without true clips."""
    if METRICS[name].paired:
        if truth is None:
            raise ValueError(f"{name} compares clips with their true ones, and none were given")
        return against(name, videos, truth)
    if name.startswith("camera_"):
        return camera_share(name.removeprefix("camera_"), videos, texts.rates)
    of_clip = OF_CLIPS[name]()
    return np.array([of_clip(clip) for clip in videos])


def distance(
    metric: Metric,
    encoder: Encoder,
    videos: Videos,
    reference: Mapping[str, Path],
    ours: dict[Encoder, Features],
    progress: Progress,
) -> Measured:
    """Distance to the reference set's features, which the same weights made."""
    if encoder not in reference:
        raise ValueError(f"no {encoder} features of the reference set were given")
    theirs = load_file(reference[encoder] / f"{encoder}.safetensors")["features"]
    if encoder not in ours:
        ours[encoder] = features(encoder, videos, progress=progress)
    per_clip = len(ours[encoder]) // len(videos)
    value, stderr = measured_distance(metric.distance, ours[encoder], theirs, clips=len(videos))
    return Measured(
        value=value,
        stderr=stderr,
        weights=weights.verify(encoder),
        n_reference=len(theirs) // per_clip,
        frames=per_clip if not encoder.startswith("i3d") else None,
    )


def clip_agreement(videos: Videos, prompts: list[str]) -> Measured:
    """CLIP score with the user's CLIP."""
    from svd_core.encoders.clip import Clip  # here, because transformers is an extra

    folder = weights.locate("clip")
    return replace(mean_of(clip_scores(Clip.load(folder), videos, prompts)), weights=weights.digest(folder))


def toy_agreement(videos: Videos, prompts: list[str], folder: Path | None) -> Measured:
    """Agreement under the small encoder in `folder`."""
    if folder is None:
        raise ValueError("toy_clip_score needs a trained text-image encoder, and none was given")
    found = mean_of(toy_clip_score(ToyClip.load(folder), videos, prompts))
    return replace(found, weights=weights.digest(folder / "model.safetensors"))


def mean_of(per_clip: NDArray[np.float64]) -> Measured:
    """Mean over clips with its standard error; null with a reason if a clip has no finite value."""
    if wrong := np.flatnonzero(~np.isfinite(per_clip)).tolist():
        return Measured(error=f"{len(wrong)} of {len(per_clip)} clips have no finite value, first clip {wrong[0]}")
    stderr = float(per_clip.std(ddof=1) / np.sqrt(len(per_clip))) if len(per_clip) > 1 else None
    return Measured(value=float(per_clip.mean()), stderr=stderr, per_clip=per_clip)


def describe(metric: Metric, videos: Videos, measured: Measured) -> Score:
    """A measurement with everything that a table must say of it."""
    return Score(
        value=measured.value,
        name=metric.label,
        direction=metric.direction,
        encoder=metric.encoder,
        weights=measured.weights,
        n=len(videos),
        n_reference=measured.n_reference,
        frames=measured.frames or videos.shape[1],
        resolution=videos.shape[-1],
        error=measured.error,
        stderr=measured.stderr,
    )


def _as_part(progress: Progress, number: int, parts: int, done: int, total: int, **figures: float) -> None:
    """Tell `progress` how far all `parts` are when part `number` is at `done` of `total`."""
    progress(number * total + done, parts * total, **figures)
