"""From a corpus' seed to every shot's plan, and from a plan to frames. Nothing here touches a file."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from svd_core.data.toy_lvd.defects import (
    KINDS,
    MAX_DRIFT,
    SHARES,
    Defects,
    Looks,
    Overlay,
    Text,
    draw_looks,
    draw_text,
)
from svd_core.data.toy_lvd.drawing import Drawing, Image, Layout, draw_layout
from svd_core.data.toy_lvd.scenes import VISIBLE, Scene, draw_other_scene, draw_scene, random_stream

SIZE = 192
"""Side of the square source videos in pixels: six times the laptop's training size, as real sources are larger."""
FRAME_RATES = (7, 8, 9)
SHOTS = (2, 5)
"""Fewest and most shots of a source."""
SHOT_SECONDS = (2.0, 2.4)
SPEEDS = (0.33, 0.45)
"""Slowest and fastest good motion in frame sides per second."""
ROOM = 0.9
"""Share of the frame that a shape's centre may cross within a shot, so that half of it is always in the picture."""
TRANSITION_SECONDS = (0.4, 0.8)
CAPTION_DIFFERENCES = (1, 2, 2, 3, 3, 3, 4, 4, 4, 4)
"""Visible words that a wrong caption gets wrong, as likely as they stand here."""

Beginning = Literal["start", "cut", "fade", "dissolve"]


@dataclass(frozen=True)
class Shot:
    """One planned shot: `frames` clean ones, after `transition_frames` that belong to no shot.

    `told` is the scene that the captions tell: another one where they are wrong. A fade goes through `fade_level`, 0 or
    255.
    """

    scene: Scene
    told: Scene
    layout: Layout
    fps: int
    frames: int
    begins: Beginning
    transition_frames: int
    fade_level: int
    defects: Defects
    looks: Looks | None
    text: Text | None

    @property
    def seconds(self) -> float:
        """Length of the clean part."""
        return self.frames / self.fps


@dataclass(frozen=True)
class Source:
    """One planned source video."""

    name: str
    fps: int
    shots: tuple[Shot, ...]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Half-open frame ranges of the shots' clean parts."""
        spans, end = [], 0
        for shot in self.shots:
            start = end + shot.transition_frames
            end = start + shot.frames
            spans.append((start, end))
        return spans


def plan_corpus(sources: int, seed: int, frame_rates: Sequence[int] = FRAME_RATES) -> list[Source]:
    """All sources of a corpus. Each defect is in exactly its share of all shots, independently of the others."""
    counts = [int(random_stream(seed, "toy_lvd/shots", i).integers(SHOTS[0], SHOTS[1] + 1)) for i in range(sources)]
    defects = plant_defects(sum(counts), seed)
    plans = []
    for index, count in enumerate(counts):
        rng = random_stream(seed, "toy_lvd/source", index)
        fps = int(rng.choice(frame_rates))
        shots: list[Shot] = []
        for _ in range(count):
            previous = shots[-1].scene if shots else None
            shots.append(draw_shot(rng, fps, defects[len(shots)], previous))
        del defects[:count]
        plans.append(Source(f"{index:06d}.mp4", fps, tuple(shots)))
    return plans


def plant_defects(shots: int, seed: int) -> list[Defects]:
    """Defects of every shot: quotas, not coin flips, as a percentile filter is right only at the exact share."""
    planted: list[dict[str, float]] = [{} for _ in range(shots)]
    for kind in KINDS:
        rng = random_stream(seed, f"toy_lvd/defect/{kind}")
        for index in rng.permutation(shots)[: round(shots * SHARES[kind])]:
            grade = int(rng.choice(CAPTION_DIFFERENCES)) / len(VISIBLE)
            planted[index][kind] = grade if kind == "wrong_caption" else 1.0 - float(rng.random())
    return [Defects(**severities) for severities in planted]


def draw_shot(rng: np.random.Generator, fps: int, defects: Defects, previous: Scene | None = None) -> Shot:
    """A random shot with the given defects; without a `previous` scene it begins its source."""
    scene = draw_scene(rng, unlike=previous)
    frames = math.ceil(rng.uniform(*SHOT_SECONDS) * fps)
    slowest, fastest = SPEEDS
    speed = rng.uniform(slowest, min(fastest, ROOM * fps / frames))
    if defects.static is not None:
        speed = MAX_DRIFT * (1 - defects.static)
    begins, transition_frames = _draw_beginning(rng, fps) if previous else ("start", 0)
    told = scene
    if defects.wrong_caption is not None:
        told = draw_other_scene(rng, scene, round(defects.wrong_caption * len(VISIBLE)))
    return Shot(
        scene=scene,
        told=told,
        layout=draw_layout(rng, scene, speed),
        fps=fps,
        frames=frames,
        begins=begins,
        transition_frames=transition_frames,
        fade_level=255 * int(rng.integers(2)),
        defects=defects,
        looks=None if defects.poor_looks is None else draw_looks(rng, defects.poor_looks),
        text=None if defects.text is None else draw_text(rng, defects.text),
    )


def _draw_beginning(rng: np.random.Generator, fps: int) -> tuple[Beginning, int]:
    """How a shot follows another: half of them by a hard cut. A fade has a middle frame, which is blank."""
    frames = round(rng.uniform(*TRANSITION_SECONDS) * fps)
    choice = rng.random()
    if choice < 0.5:
        return "cut", 0
    if choice < 0.75:
        return "fade", frames + 1 - frames % 2
    return "dissolve", frames


class Film:
    """The frames of one shot, counted from its first clean one; others show it before and after, for transitions."""

    def __init__(self, shot: Shot, size: int = SIZE) -> None:
        self.shot = shot
        self.drawing = Drawing(shot.scene, shot.layout, size)
        self.overlay = None if shot.text is None else Overlay(shot.text, size)

    def image(self, index: int) -> Image:
        """Frame `index`, RGB (size, size, 3)."""
        image = self.drawing.at((index - (self.shot.frames - 1) / 2) / self.shot.fps)
        if self.shot.looks is not None:
            image = self.shot.looks.spoil(image)
        return image if self.overlay is None else self.overlay.over(image)


def film_source(source: Source) -> Iterator[Image]:
    """Every frame of a source, RGB (SIZE, SIZE, 3)."""
    before: Film | None = None
    for shot in source.shots:
        film = Film(shot)
        if before is not None:
            yield from _transition(before, film)
        yield from (film.image(index) for index in range(shot.frames))
        before = film


def _transition(before: Film, after: Film) -> Iterator[Image]:
    """The frames that lead from one shot to the next; both go on moving meanwhile."""
    count = after.shot.transition_frames
    for index in range(count):
        progress = (index + 1) / (count + 1)
        old, new = before.image(before.shot.frames + index), after.image(index - count)
        if after.shot.begins == "dissolve":
            yield _blend(old, new, progress)
        elif progress < 0.5:
            yield _blend(old, np.full_like(old, after.shot.fade_level), 2 * progress)
        else:
            yield _blend(np.full_like(new, after.shot.fade_level), new, 2 * progress - 1)


def _blend(old: Image, new: Image, weight: float) -> Image:
    return cv2.addWeighted(old, 1 - weight, new, weight, 0).astype(np.uint8, copy=False)
