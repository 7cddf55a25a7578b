"""Settings of clips to train on and to compare with: where they are, and what they are encoded as. Free of torch."""

from typing import Literal, Self

from pydantic import Field, model_validator

from svd_core.settings import Settings

STILLS = 16
"""Frames that images of a curated clip are drawn from: neighbours are much alike, and each costs an encoding."""


class ClipsSettings(Settings):
    """Clips to train on: rendered here, or a folder that curation wrote (`clips.parquet` and `shards/`).

    render: `clips` are good clips of `toy_lvd`, `camera_moves` walls of rectangles under a moving camera (`any`: each
    clip under one of the three moves), `orbits` turning objects of a split, which `seed` does not touch. subset: a
    folder with `subset.parquet`, by default all clips of `folder`.
    """

    render: Literal["clips", "camera_moves", "orbits"] | None = None
    move: Literal["horizontal", "zoom", "static", "any"] | None = None
    split: Literal["train", "validation", "test"] = "train"
    count: int = Field(96, ge=1)
    frames: int = Field(10, ge=1)
    resolution: int = Field(32, ge=8)
    seed: int = Field(3, ge=0)
    folder: str | None = Field(None, min_length=1)
    subset: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.render is None) == (self.folder is None):
            raise ValueError("say either what to render or which folder to read")
        if (self.render == "camera_moves") != (self.move is not None):
            raise ValueError("move (horizontal, zoom, static or any) belongs to render: camera_moves")
        return self


SIZES = ("split", "count", "frames", "resolution", "seed")
"""What is rendered, which a folder that is trained on has by itself."""


class CuratedSettings(Settings):
    """A folder that curation wrote, as a spec's data: its clips of so many frames, captioned where text is learnt."""

    folder: str
    frames: int = Field(ge=1)
    captioned: bool


class HeldOutSettings(Settings):
    """Some clips of a folder that curation wrote, cut to a length and a size, that generated ones are compared with."""

    folder: str
    count: int = Field(ge=1)
    frames: int = Field(ge=1)
    resolution: int = Field(ge=8)


class RecordSettings(Settings):
    """How clips are encoded: height and width; frames of each, or if null all it has, `at_most` so many if that is set;
    noisy first frames as in `Phase`.
    """

    resolution: tuple[int, int]
    frames: int | None
    at_most: int | None = Field(None, exclude_if=lambda frames: frames is None)
    strength_mean: float = 0.0
    strength_std: float = 0.0
    strength_draws: int = 0
