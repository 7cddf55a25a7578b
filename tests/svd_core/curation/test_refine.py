import drawn
import numpy as np
import pytest

from svd_core.curation.cuts import Cascade
from svd_core.curation.refine import Refined
from svd_core.curation.transitions import Transition

FPS = 10.0


class Told:
    """A network that knows the answer: probabilities by the frame's own number, which its red corner spells."""

    def __init__(self, chances: dict[int, float]) -> None:
        self.chances = chances
        self.seen: list[int] = []

    def changes(self, frames: np.ndarray) -> np.ndarray:
        assert len(frames) <= 100
        numbers = [round(float(frame[:2, :2, 0].mean())) for frame in frames]
        self.seen += [number for number in numbers if number not in self.seen]
        return np.array([self.chances.get(number, 0.0) for number in numbers], np.float32)


def numbered(frames: drawn.Frames) -> drawn.Frames:
    marked = frames.copy()
    for number, frame in enumerate(marked):
        frame[:24, :24] = number
    return marked


def decided(frames: drawn.Frames, chances: dict[int, float]) -> tuple[list[Transition], Told]:
    from svd_core.curation.cuts import thumbnail

    network = Told(chances)
    refined = Refined(Cascade(FPS), network)
    found = [transition for frame in frames for transition in refined.push_thumbnail(thumbnail(frame))]
    found += list(refined.finish())
    assert found == refined.found
    return found, network


FOUR_SHOTS = numbered(np.concatenate([drawn.shot(seed, 60, speed=0.3) for seed in range(4)]))


def test_believed_cuts_stay_and_others_go() -> None:
    found, network = decided(FOUR_SHOTS, {59: 0.9, 179: 0.2})
    assert found == [Transition(60, 60, "cut"), Transition(180, 180, "cut")]
    assert network.seen == list(range(240)), "each frame is asked about"


def test_what_only_the_network_sees_is_added_in_order() -> None:
    """A cut is one frame; a run of frames is slow."""
    chances = {59: 0.9, 119: 0.9, 179: 0.9, 90: 0.8, **dict.fromkeys(range(140, 146), 0.7)}
    found, _ = decided(FOUR_SHOTS, chances)
    seen = [(60, 60, "cut"), (91, 91, "cut"), (120, 120, "cut"), (141, 146, "dissolve"), (180, 180, "cut")]
    assert [(t.start, t.end, t.kind) for t in found] == seen


@pytest.mark.parametrize("frames", [1, 49, 50, 51, 100, 126])
def test_videos_of_any_length_are_seen_to_their_end(frames: int) -> None:
    found, network = decided(FOUR_SHOTS[:frames], {frames - 2: 0.9, 59: 0.9, 119: 0.9})
    assert network.seen == list(range(frames))
    assert {t.start for t in found} >= {frame for frame in (frames - 1,) if frame > 1}
