import drawn
import numpy as np
import pytest

from svd_core.curation.cuts import Cascade
from svd_core.curation.shots import Shot, shots
from svd_core.data.video import Frame

FPS = 10.0


def split(images: drawn.Frames, max_s: float = 30.0) -> list[Shot]:
    frames = (Frame(image, 512 * index, False) for index, image in enumerate(images))
    return list(shots(frames, Cascade(FPS), max_s))


def test_a_cut_loses_no_frame() -> None:
    before, after = split(drawn.cut(drawn.shot(0), drawn.shot(1)))
    assert (before.pts[0], before.end_pts, len(before.images)) == (0, 24 * 512, 24)
    assert (after.pts[0], after.end_pts, len(after.images)) == (24 * 512, 48 * 512, 24)


def test_slow_transitions_are_trimmed_away_with_a_margin() -> None:
    before, after = split(drawn.fade(drawn.shot(0), drawn.shot(1), steps=6))
    assert before.end_pts <= 18 * 512
    assert after.pts[0] >= 30 * 512
    assert len(before.images) + len(after.images) >= 48 - 12 - 4


def test_long_shots_are_split_and_nothing_is_lost() -> None:
    pieces = split(drawn.shot(3, frames=75, speed=0.2), max_s=2.0)
    assert [len(piece.images) for piece in pieces] == [20, 20, 20, 15]
    assert [piece.pts[0] // 512 for piece in pieces] == [0, 20, 40, 60]


def test_memory_is_bounded_by_the_longest_clip() -> None:
    image = np.zeros((600, 400, 3), np.uint8)
    taken = 0

    def endless() -> object:
        nonlocal taken
        for taken in range(10**6):
            yield Frame(image, taken, False)

    first = next(shots(endless(), Cascade(FPS), max_s=1.0))  # type: ignore[arg-type]
    assert len(first.images) == 10
    assert first.images[0].shape == (384, 256, 3)
    assert taken < 70


@pytest.mark.parametrize("count", [0, 1])
def test_next_to_no_frames(count: int) -> None:
    assert len(split(drawn.shot(0, frames=2)[:count])) == count
