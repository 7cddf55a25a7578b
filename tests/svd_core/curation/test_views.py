from collections.abc import Callable

import cv2
import drawn
import numpy as np
import pytest

from svd_core.curation.views import FRAMES, SIDE, View


def test_first_middle_and_last_frame_are_kept_nearly_as_they_were() -> None:
    frames = [cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in drawn.shot(0, frames=25)]  # noise in colours is lost
    view = View.of(frames)
    assert len(view.images()) == FRAMES
    for kept, place in zip(view.keyframes(), (0, 12, 24), strict=True):
        assert np.abs(kept.astype(int) - frames[place]).mean() < 2


def test_large_frames_are_reduced_and_short_clips_repeat() -> None:
    view = View.of([np.zeros((600, 900, 3), np.uint8), np.full((600, 900, 3), 200, np.uint8)])
    assert {image.shape for image in view.images()} == {(SIDE, 384, 3)}
    assert [int(image.mean().round()) for image in view.images()] == [0] * 5 + [200] * 4


def test_the_same_frames_give_the_same_bytes() -> None:
    assert View.of(list(drawn.shot(3))) == View.of(list(drawn.shot(3)))


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"0", lambda _: b""])
def test_bytes_are_read_back_whole_or_not_at_all(change: Callable[[bytes], bytes]) -> None:
    content = View.of(list(drawn.shot(3))).to_bytes()
    assert View.from_bytes(content) == View.of(list(drawn.shot(3)))
    with pytest.raises(ValueError, match="expected 9 frames"):
        View.from_bytes(change(content))


def test_a_damaged_frame_is_told() -> None:
    with pytest.raises(ValueError, match="of 4 bytes is no JPEG"):
        View((b"JPEG",) * FRAMES).images()
