"""What a shot of the embedded corpus shows, and how captions say it: a grammar of 33 words."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[int, int, int]

SHAPES = ("circle", "square", "triangle", "ring")
COLOURS: dict[str, Colour] = {
    "white": (245, 245, 245),
    "yellow": (255, 225, 45),
    "orange": (255, 155, 30),
    "pink": (255, 140, 200),
    "cyan": (60, 215, 240),
    "lime": (150, 235, 60),
}
PATTERNS = ("plain", "gradient", "split", "framed", "cloudy")
BACKGROUNDS: dict[str, Colour] = {
    "black": (14, 14, 16),
    "grey": (72, 72, 74),
    "red": (140, 22, 26),
    "blue": (22, 40, 140),
    "green": (16, 92, 42),
    "purple": (96, 30, 124),
}
"""Darker than every shape colour, so that any shape stands out, and named by other words, so that no caption can be
misread by who knows its words but not their order."""
DIRECTIONS: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
"""Unit steps (x, y) in image coordinates: y grows downwards."""


@dataclass(frozen=True)
class Scene:
    """One shape that moves over a background. Every field is a word of the captions."""

    shape: str
    colour: str
    direction: str
    pattern: str
    background: str

    @property
    def image_caption(self) -> str:
        """What one frame shows: no motion."""
        return f"{self._subject} on {self._backdrop}"

    @property
    def video_caption(self) -> str:
        """What a video captioner would say: motion first."""
        return f"moving {self.direction}: {self._subject} over {self._backdrop}"

    @property
    def merged_caption(self) -> str:
        """Both in one sentence."""
        return f"{self._subject} moves {self.direction} across {self._backdrop}"

    @property
    def _subject(self) -> str:
        return f"{_article(self.colour)} {self.colour} {self.shape}"

    @property
    def _backdrop(self) -> str:
        return f"a {self.background} {self.pattern} background"


VISIBLE: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "pattern": PATTERNS,
    "background": tuple(BACKGROUNDS),
}
"""The words that a single frame can confirm or refute, by field of Scene."""


def random_stream(seed: int, name: str, *index: int) -> np.random.Generator:
    """The generator of one thing to draw: depends on nothing but its arguments."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *index])


def draw_scene(rng: np.random.Generator, *, unlike: Scene | None = None) -> Scene:
    """A random scene; with another background colour than `unlike`, so that a cut between the two is seen."""
    backgrounds = [name for name in BACKGROUNDS if unlike is None or name != unlike.background]
    return Scene(
        shape=_pick(rng, SHAPES),
        colour=_pick(rng, tuple(COLOURS)),
        direction=_pick(rng, tuple(DIRECTIONS)),
        pattern=_pick(rng, PATTERNS),
        background=_pick(rng, backgrounds),
    )


def draw_other_scene(rng: np.random.Generator, scene: Scene, differences: int) -> Scene:
    """A scene that differs from `scene` in exactly that many (1 to 4) of its visible words, in any direction."""
    changed = rng.permutation(len(VISIBLE))[:differences]
    other = replace(scene, direction=_pick(rng, tuple(DIRECTIONS)))
    for field in (list(VISIBLE)[i] for i in sorted(changed)):
        words = [word for word in VISIBLE[field] if word != getattr(scene, field)]
        other = replace(other, **{field: _pick(rng, words)})
    return other


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
