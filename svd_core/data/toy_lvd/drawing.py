"""Scenes to pixels, at any frame size. Lengths are shares of the frame's side, angles in radians."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from svd_core.data.toy_lvd.scenes import BACKGROUNDS, COLOURS, DIRECTIONS, Scene

Image = NDArray[np.uint8]

SUBPIXEL_BITS = 4
"""OpenCV draws polygons with coordinates in sixteenths of a pixel."""
JITTER = 8
TONES = (0.85, 0.22)
"""A patterned background runs from its colour darkened to this share, to its colour this far on the way to white."""


@dataclass(frozen=True)
class Layout:
    """Where and how a scene is drawn: everything that its caption does not tell.

    `centre` (x, y) is the shape's place in the middle of the shot, `radius` half its size, `speed` its path per second
    and `tilt` its rotation; `angle` turns the pattern; `jitter` (RGB, at most `JITTER`) changes both colours.
    """

    centre: tuple[float, float]
    radius: float
    speed: float
    tilt: float
    angle: float
    jitter: tuple[int, int, int]
    cloud_seed: int


def draw_layout(rng: np.random.Generator, scene: Scene, speed: float) -> Layout:
    """A random layout of `scene`: the shape passes near the frame's middle, off its way by up to a tenth."""
    along, across = rng.uniform(-0.025, 0.025), rng.uniform(-0.1, 0.1)
    dx, dy = DIRECTIONS[scene.direction]
    return Layout(
        centre=(0.5 + abs(dx) * along + abs(dy) * across, 0.5 + abs(dy) * along + abs(dx) * across),
        radius=rng.uniform(0.26, 0.3),
        speed=speed,
        tilt=rng.uniform(-0.1, 0.1),
        angle=math.pi / 4 * float(rng.integers(8)) + rng.uniform(-0.2, 0.2),
        jitter=(_jitter(rng), _jitter(rng), _jitter(rng)),
        cloud_seed=int(rng.integers(2**31)),
    )


class Drawing:
    """A scene drawn at `size` pixels square; the background is drawn once, the shape once a frame."""

    def __init__(self, scene: Scene, layout: Layout, size: int) -> None:
        self.size = size
        self.layout = layout
        self.step = DIRECTIONS[scene.direction]
        self.colour = _jittered(COLOURS[scene.colour], layout).tolist()
        self.contours = [_rotated(contour, layout.tilt) * layout.radius for contour in CONTOURS[scene.shape]]
        self.background = draw_background(scene, layout, size)

    def at(self, seconds: float) -> Image:
        """The frame, RGB (size, size, 3), that many seconds from the middle of the shot."""
        travelled = self.layout.speed * seconds
        centre = np.array(self.layout.centre) + travelled * np.array(self.step)
        scale = self.size * 2**SUBPIXEL_BITS
        half_pixel = 2 ** (SUBPIXEL_BITS - 1)  # OpenCV's integer coordinates are pixel centres
        corners = [np.rint((contour + centre) * scale - half_pixel).astype(np.int32) for contour in self.contours]
        image = self.background.copy()
        cv2.fillPoly(image, corners, self.colour, lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS)
        return image


def draw_background(scene: Scene, layout: Layout, size: int) -> Image:
    """The background alone, RGB (size, size, 3)."""
    base = _jittered(BACKGROUNDS[scene.background], layout)
    if scene.pattern == "plain":
        return np.broadcast_to(base.astype(np.uint8), (size, size, 3)).copy()
    dark, light = base * TONES[0], base + (255 - base) * TONES[1]
    weight = _pattern(scene.pattern, layout, size)[..., None]
    return np.asarray(dark + weight * (light - dark)).astype(np.uint8)


def _pattern(name: str, layout: Layout, size: int) -> NDArray[np.float32]:
    """Weight 0..1 of the lighter tone, (size, size)."""
    if name == "cloudy":
        return _clouds(layout, size)
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    x, y = axis[None, :], axis[:, None]
    u = x * math.cos(layout.angle) + y * math.sin(layout.angle)
    match name:
        case "gradient":
            return np.clip(u + 0.5, 0, 1)
        case "split":
            return np.clip(u * size + 0.5, 0, 1)  # an edge one pixel wide
        case "framed":
            return np.asarray(np.clip(1.5 * np.hypot(x, y), 0, 1))  # lighter towards the edges
    raise ValueError(f"unknown pattern {name!r}")


def _clouds(layout: Layout, size: int) -> NDArray[np.float32]:
    knots = np.random.default_rng(layout.cloud_seed).random((4, 4), dtype=np.float32)
    clouds = cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float32, copy=False)
    return np.asarray((clouds - clouds.min()) / (clouds.max() - clouds.min()))


def _jitter(rng: np.random.Generator) -> int:
    return int(rng.integers(-JITTER, JITTER + 1))


def _jittered(colour: tuple[int, int, int], layout: Layout) -> NDArray[np.float32]:
    return np.clip(np.add(colour, layout.jitter), 0, 255).astype(np.float32)


def _rotated(points: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return np.asarray(points @ turn)


def _around(count: int, radius: float, start: float = -math.pi / 2) -> NDArray[np.float64]:
    """Corners at equal angles, from the top on; (count, 2)."""
    angles = start + 2 * math.pi * np.arange(count) / count
    return np.asarray(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1))


CONTOURS: dict[str, list[NDArray[np.float64]]] = {
    "circle": [_around(48, 1.0)],
    "square": [_around(4, 1.2, start=math.pi / 4)],
    "triangle": [_around(3, 1.25)],
    "ring": [_around(48, 1.1), _around(48, 0.55)],
}
"""Closed polygons of radius about one. Where two overlap (the ring's hole) the background shows."""
