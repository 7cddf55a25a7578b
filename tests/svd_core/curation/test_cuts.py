import drawn
import numpy as np
import pytest

from svd_core.curation.cuts import Cascade
from svd_core.curation.transitions import Seen, Transition, measure

FPS = 10.0


def detect(frames: drawn.Frames, fps: float = FPS) -> list[Transition]:
    cascade = Cascade(fps)
    found = [transition for frame in frames for transition in cascade.push(frame)]
    return found + list(cascade.finish())


@pytest.mark.parametrize("seed", range(0, 12, 2))
def test_a_hard_cut_is_found_at_its_frame(seed: int) -> None:
    frames = drawn.cut(drawn.shot(seed), drawn.shot(seed + 1))
    assert detect(frames) == [Transition(24, 24, "cut")]


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("steps", [3, 6, 8])
def test_fades_through_black_and_white_are_found_with_their_extent(steps: int, level: int) -> None:
    frames = drawn.fade(drawn.shot(20), drawn.shot(21), steps, level)
    (found,) = detect(frames)
    assert found.kind == "fade"
    assert abs(found.start - (24 - steps)) <= 1
    assert abs(found.end - (24 + steps)) <= 1


@pytest.mark.parametrize("steps", [4, 6, 8])
def test_dissolves_are_found_with_their_extent(steps: int) -> None:
    (found,) = detect(drawn.dissolve(drawn.shot(30), drawn.shot(31), steps))
    assert found.kind == "dissolve"
    assert abs(found.start - (24 - steps)) <= 2
    assert abs(found.end - 24) <= 2


@pytest.mark.parametrize("seed", range(4))
def test_motion_and_a_flash_are_no_transitions(seed: int) -> None:
    moving = drawn.shot(seed, frames=48, speed=3.0)
    assert detect(moving) == []
    moving[20] = 255
    assert detect(moving) == []


def test_transitions_come_out_in_order_while_frames_still_go_in() -> None:
    shots = [drawn.shot(seed) for seed in range(4)]
    frames = drawn.cut(drawn.cut(shots[0], shots[1]), drawn.fade(shots[2], shots[3]))
    cascade = Cascade(FPS)
    found_by = {t.frame: index for index, frame in enumerate(frames) for t in cascade.push(frame)}
    assert [t.kind for t in cascade.found] == ["cut", "cut", "fade"]
    assert all(index - frame <= 3 * FPS for frame, index in found_by.items())
    assert len(cascade.seen) < 30


@pytest.mark.parametrize("frames", [np.zeros((0, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)])
def test_next_to_nothing_has_no_transitions(frames: drawn.Frames) -> None:
    assert detect(frames) == []


def test_the_frame_of_a_transition() -> None:
    assert Transition(24, 24, "cut").frame == 24
    assert Transition(20, 30, "fade").frame == 25


@pytest.mark.parametrize("level", [0, 255])
def test_fades_at_both_ends_of_a_video_are_found_when_asked_for(level: int) -> None:
    frames = drawn.fade(drawn.shot(20, 48), drawn.shot(21, 48), 6, level)
    opening, ending = frames[48:], frames[:48]  # comes out of the level for 6 frames; goes into it for 6
    for ends in (False, True):
        cascade = Cascade(FPS, ends=ends)
        found = [transition for frame in [*opening, *ending[1:]] for transition in cascade.push(frame)]
        found = [t for t in [*found, *cascade.finish()] if t.kind == "fade"]
        if not ends:
            assert found == []
    first, last = found
    assert (first.start, last.end) == (0, 95)
    assert abs(first.end - 6) <= 1
    assert abs(last.start - (95 - 6)) <= 1


def test_what_passes_close_by_is_no_cut_when_cuts_must_stand_out() -> None:
    """Steps of 30 levels, each elsewhere in the picture, that end 30 levels from where they began."""
    levels = np.full((12, 6, 8, 3), 100, np.uint8)
    for step, (row, level) in enumerate(((0, 190), (2, 190), (2, 100))):
        levels[5 + step :, row : row + 2] = level
    frames = [Seen(number, frame) for number, frame in enumerate(levels)]
    found = measure(frames)
    assert found is not None
    assert found.kind == "cut"
    assert measure(frames, outstanding=1.5) is None


def test_hard_cuts_stand_out() -> None:
    frames = drawn.cut(drawn.shot(0), drawn.shot(1))
    cascade = Cascade(FPS, outstanding=1.5, ends=True)
    found = [transition for frame in frames for transition in cascade.push(frame)]
    assert [*found, *cascade.finish()] == [Transition(24, 24, "cut")]
