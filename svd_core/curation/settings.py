"""Settings of curation, of a clip table's filters and of the subsets that they keep."""

from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from svd_core.settings import Settings


class CurationSettings(Settings):
    """Raw videos to clip table and shards.

    Text, looks and alignment are measured on a clip's first, middle and last frame. How the three become one number is
    unpublished, so it is a setting.
    """

    frames: int = Field(10, ge=1)
    resolution: int = Field(32, ge=8)
    min_clip_s: float = Field(1.5, gt=0)
    max_clip_s: float = Field(30.0, gt=0)
    text_side: int = Field(96, ge=32)
    text_over_frames: Literal["mean", "max"] = "mean"
    aesthetics_over_frames: Literal["best", "mean", "worst"] = "best"
    alignment_over_frames: Literal["mean", "max"] = "mean"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_lengths(self.min_clip_s, self.max_clip_s)
        return self


def check_lengths(least: float, most: float) -> None:
    """Raise ValueError unless clips of some length fit."""
    if least > most:
        raise ValueError(f"min_clip_s {least:g} lies above max_clip_s {most:g}: no clip fits")


class VideoCurationSettings(Settings):
    """Anybody's videos to clip table and shards of clips (`ablate curate`).

    `clips`: `copy` moves cut points inward to keyframes and copies the coded stream; `encode` keeps every frame between
    transitions and encodes them again. `refine` asks a network about the cascade's transitions. `trim_s` seconds go off
    both sides of a fade or dissolve, on top of its own frames.
    """

    clips: Literal["copy", "encode"] = "copy"
    min_clip_s: float = Field(1.5, ge=0)
    max_clip_s: float = Field(30.0, gt=0)
    trim_s: float = Field(0.1, ge=0)
    refine: Literal["no", "transnetv2"] = "no"
    max_pixels: int = Field(8192 * 8192, ge=1)
    motion: Literal["farneback", "dis", "raft"] = "farneback"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_lengths(self.min_clip_s, self.max_clip_s)
        return self


class AnnotationSettings(Settings):
    """What networks are asked about the kept frames of one's own videos (`ablate curate`).

    `laion`, `clip` and `models` need weights that only the user can supply, and are refused without them.
    """

    text_side: int = Field(256, ge=32)
    text_over_frames: Literal["mean", "max"] = "mean"
    aesthetics: Literal["typical-looks", "laion"] = "typical-looks"
    aesthetics_over_frames: Literal["best", "mean", "worst"] = "best"
    alignment: Literal["none", "clip"] = "none"
    alignment_over_frames: Literal["mean", "max"] = "mean"
    captions: Literal["given", "models"] = "given"


class Percentile(Settings):
    """One axis of a filter. Shares are of all clips, so that axes can be chosen one at a time (paper, Stage II)."""

    drop_lowest: float | None = Field(None, ge=0, lt=1)
    drop_highest: float | None = Field(None, ge=0, lt=1)
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if (self.drop_lowest or 0) + (self.drop_highest or 0) >= 1:
            raise ValueError("drop_lowest and drop_highest together must be below 1, or nothing is left")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} lies above max {self.max}: nothing is left")
        return self


class Keep(Settings):
    """Conjunction of per-axis predicates; an axis left out, or with nothing set, is not filtered."""

    motion: Percentile | None = None
    text_area: Percentile | None = None
    aesthetics: Percentile | None = None
    alignment: Percentile | None = None
    num_frames: Percentile | None = None
    fps: Percentile | None = None
    width: Percentile | None = None
    height: Percentile | None = None
    camera_motion: Literal["horizontal", "zoom", "static"] | None = None
    duplicate_of: Literal["drop"] | None = None

    @field_validator("*")
    @classmethod
    def _nothing_set(cls, rule: Any) -> Any:
        """One way to say that an axis is not filtered, so that it has one fingerprint."""
        return None if rule == Percentile() else rule

    @model_serializer(mode="wrap")
    def _only_what_is_set(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Axes beyond the four scores came later: while unset they must not change a fingerprint."""
        scores = ("motion", "text_area", "aesthetics", "alignment")
        return {axis: rule for axis, rule in values(self).items() if rule is not None or axis in scores}


class SubsetSample(Settings):
    """A random sample of the kept clips, as large as another predicate's kept set."""

    match: Keep


class SubsetSettings(Settings):
    """A view of the clip table: predicate, then optional random sample. Never a copy of any clip."""

    keep: Keep = Keep()
    sample: SubsetSample | None = None
    seed: int = Field(0, ge=0)
