import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from svd_core.curation.camera import Step, camera_motion, camera_step, classify

SIZE = (256, 144)


def scene(seed: int = 0) -> NDArray[np.uint8]:
    """A textured picture four times as large as what the camera sees of it."""
    rng = np.random.default_rng(seed)
    canvas = np.full((576, 1024, 3), 128, np.uint8)
    for _ in range(400):
        centre = tuple(int(c) for c in rng.integers(0, (1024, 576)))
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        cv2.rectangle(
            canvas, centre, tuple(int(c + s) for c, s in zip(centre, rng.integers(8, 60, 2), strict=True)), colour, -1
        )
    return canvas


def filmed(picture: NDArray[np.uint8], views: list[tuple[float, float, float, float]]) -> list[NDArray[np.uint8]]:
    """What a camera sees at (x, y) of the picture, at a scale and an angle (degrees)."""
    frames = []
    for x, y, scale, angle in views:
        transform = cv2.getRotationMatrix2D((x, y), angle, scale)
        transform[:, 2] += np.array(SIZE) / 2 - (x, y)
        frames.append(cv2.warpAffine(picture, transform, SIZE, flags=cv2.INTER_AREA))
    return frames


MOVES = {
    "static": [(512, 288, 1, 0)] * 7,
    "pan right": [(400 + 8 * t, 288, 1, 0) for t in range(7)],
    "fast pan left": [(700 - 25 * t, 288, 1, 0) for t in range(7)],
    "tilt": [(512, 200 + 8 * t, 1, 0) for t in range(7)],
    "zoom in": [(512, 288, 1.05**t, 0) for t in range(7)],
    "zoom out": [(512, 288, 1.4 * 0.95**t, 0) for t in range(7)],
    "roll": [(512, 288, 1, 3 * t) for t in range(7)],
    "shaking": [(512 + 8 * (-1) ** t, 288, 1, 0) for t in range(7)],
}
CLASSES = {
    "static": "static",
    "pan right": "horizontal",
    "fast pan left": "horizontal",
    "tilt": "other",
    "zoom in": "zoom",
    "zoom out": "zoom",
    "shaking": "other",
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("move", CLASSES)
def test_synthetic_camera_moves_are_told_apart(move: str, seed: int) -> None:
    assert camera_motion(filmed(scene(seed), MOVES[move])) == CLASSES[move]


def test_steps_are_measured_in_sides() -> None:
    before, after = filmed(scene(), [(500, 288, 1, 0), (508, 285, 1.04, 0)])
    step = camera_step(*(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after)))
    assert step is not None
    assert step.x == pytest.approx(-8 / 144, abs=0.005)
    assert step.y == pytest.approx(3 / 144, abs=0.005)
    assert step.zoom == pytest.approx(np.log(1.04), abs=0.004)


def test_objects_that_move_before_a_still_camera_change_nothing() -> None:
    frames = filmed(scene(), MOVES["static"])
    for t, frame in enumerate(frames):
        cv2.circle(frame, (60 + 20 * t, 72), 30, (255, 0, 0), -1)
    assert camera_motion(frames) == "static"


def test_an_object_before_a_blank_wall_tells_nothing_of_the_camera() -> None:
    frames = []
    for t in range(7):
        frame = np.full((144, 256, 3), 200, np.uint8)
        frame[50:100, 40 + 15 * t : 100 + 15 * t] = scene()[:50, :60]
        frames.append(frame)
    assert camera_motion(frames) is None


def test_noise_and_single_pictures_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    assert camera_motion(list(rng.integers(0, 256, (5, 144, 256, 3), dtype=np.uint8))) is None
    assert camera_motion(filmed(scene(), MOVES["static"][:1])) is None


@pytest.mark.parametrize(("speed", "expected"), [(0.005, "static"), (0.02, "other"), (0.05, "horizontal")])
def test_between_still_and_moving_lies_neither(speed: float, expected: str) -> None:
    assert classify([Step(speed / 2, 0.0, 0.0)] * 4) == expected
