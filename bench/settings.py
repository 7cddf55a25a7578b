"""The metrics by name, and settings of the scoring stages: free of torch so that planning stays quick."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from bench.names import check_name
from svd_core.settings import Settings

Direction = Literal["lower", "higher"]
Encoder = Literal[
    "i3d_k400", "i3d_torchscript", "vgg16", "inception", "clip", "toy_clip", "lpips_alex", "lpips_vgg16", "dino"
]
Distance = Literal["frechet", "extrapolated", "kernel"]


TEXT_METRICS = ("clip_score", "toy_clip_score")
"""They compare clips with prompts."""
VIEW_METRICS = ("tsed", "tsed_truth")
"""They need the cameras of views."""


@dataclass(frozen=True)
class Metric:
    """
    What a metric is called in tables, which way is better, and what it needs.

    `encoder` is its frozen network (None: none); `set_metric` tells a distance between the generated set and the
    reference set, of the kind `distance`, from a mean over clips; `paired` metrics compare each clip with a true one.
    """

    label: str
    direction: Direction
    encoder: Encoder | None
    set_metric: bool
    distance: Distance = "frechet"
    paired: bool = False


METRICS: dict[str, Metric] = {
    "fvd": Metric("FVD[i3d-k400]", "lower", "i3d_k400", set_metric=True),
    "fvd_extrapolated": Metric("FVD∞[i3d-k400]", "lower", "i3d_k400", set_metric=True, distance="extrapolated"),
    "kvd": Metric("KVD[i3d-k400]", "lower", "i3d_k400", set_metric=True, distance="kernel"),
    "fvd_torchscript": Metric("FVD[i3d-torchscript]", "lower", "i3d_torchscript", set_metric=True),
    "fd_vgg16": Metric("FD[vgg16]", "lower", "vgg16", set_metric=True),
    "fid": Metric("FID[clean-fid]", "lower", "inception", set_metric=True),
    "kid": Metric("KID[clean-fid]", "lower", "inception", set_metric=True, distance="kernel"),
    "clip_score": Metric("CLIP score[vit-b-16]", "higher", "clip", set_metric=False),
    "toy_clip_score": Metric("toy CLIP score", "higher", "toy_clip", set_metric=False),
    "dynamic_degree": Metric("dynamic degree[DIS flow]", "higher", None, set_metric=False),
    "temporal_flicker": Metric("temporal flicker[1 - MAE]", "higher", None, set_metric=False),
    "motion_smoothness": Metric("motion smoothness[DIS flow]", "higher", None, set_metric=False),
    "subject_consistency": Metric("subject consistency[dino-vit-b-16]", "higher", "dino", set_metric=False),
    "lpips": Metric("LPIPS[alex]", "lower", "lpips_alex", set_metric=False, paired=True),
    "lpips_vgg16": Metric("LPIPS[vgg16]", "lower", "lpips_vgg16", set_metric=False, paired=True),
    "psnr": Metric("PSNR", "higher", None, set_metric=False, paired=True),
    "ssim": Metric("SSIM", "higher", None, set_metric=False, paired=True),
    "clip_similarity": Metric("CLIP similarity[vit-b-16]", "higher", "clip", set_metric=False, paired=True),
    "tsed": Metric("TSED[SIFT]", "higher", None, set_metric=False, paired=True),
    "tsed_truth": Metric("TSED[SIFT] of the true views", "higher", None, set_metric=False, paired=True),
    "camera_horizontal": Metric("horizontal camera[tracked corners]", "higher", None, set_metric=False),
    "camera_zoom": Metric("zooming camera[tracked corners]", "higher", None, set_metric=False),
    "camera_static": Metric("static camera[tracked corners]", "higher", None, set_metric=False),
}


SUBSET_METRICS: dict[str, Direction] = {
    "kept_f1": "higher",
    "kept_precision": "higher",
    "kept_recall": "higher",
    "kept_share": "higher",
}
"""What `score_subset` says of the clips that a predicate keeps, all in 0 … 1; `kept_share` is of all clips."""


def check_metric(name: str) -> str:
    """`name` itself. Raises ValueError with the nearest name if there is no such metric."""
    check_name(name, METRICS, "metric")
    return name


I3D_FRAMES = 9
"""The shortest clip that I3D takes (`svd_core.encoders.i3d.MIN_FRAMES`, which is not to be had without torch)."""


def check_frames(metrics: Sequence[str], frames: int) -> None:
    """Raise ValueError for a metric that clips of so many frames are too short for."""
    for name in metrics:
        if (METRICS[check_metric(name)].encoder or "").startswith("i3d") and frames < I3D_FRAMES:
            raise ValueError(f"metric {name!r} needs clips of {I3D_FRAMES} frames or more; these have {frames}")


def required_weights(metrics: Sequence[str]) -> tuple[str, ...]:
    """Names in the table of weights that these metrics need, each once (`toy_clip` is trained instead)."""
    encoders = (METRICS[check_metric(name)].encoder for name in metrics)
    return tuple(dict.fromkeys(encoder for encoder in encoders if encoder and encoder != "toy_clip"))


def reference_encoders(metrics: Sequence[str]) -> tuple[Encoder, ...]:
    """Encoders whose features of the reference set these metrics need, each once."""
    needed = (METRICS[check_metric(name)] for name in metrics)
    return tuple(dict.fromkeys(metric.encoder for metric in needed if metric.set_metric and metric.encoder))


class ReferenceFeaturesSettings(Settings):
    """Which encoder's features of the reference set."""

    encoder: Literal["i3d_k400", "i3d_torchscript", "vgg16", "inception"]


class SubsetScoreSettings(Settings):
    """Scoring a subset leaves nothing to choose."""


class ScoreSettings(Settings):
    """Which metrics one run is scored with. Names are exact."""

    metrics: tuple[str, ...] = Field(("fvd", "fd_vgg16", "toy_clip_score", "dynamic_degree"), min_length=1)

    @field_validator("metrics")
    @classmethod
    def _known_and_unique(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for name in metrics:
            check_metric(name)
        twice = sorted({name for name in metrics if metrics.count(name) > 1})
        if twice:
            raise ValueError(f"metrics named twice: {', '.join(twice)}")
        return metrics
