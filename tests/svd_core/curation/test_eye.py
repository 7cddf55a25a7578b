"""Pictures taken from decoded planes are those that FFmpeg's scaler and a whole average give, but for rounding."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from svd_core.curation.eye import Eye


def smooth(height: int = 720, width: int = 1000) -> NDArray[np.uint8]:
    """Slow changes of colour, which every way of scaling gives back alike."""
    knots = np.random.default_rng(0).integers(20, 236, (4, 5, 3), dtype=np.uint8)
    return cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def decoded(pixels: str, picture: NDArray[np.uint8], **told: int) -> av.VideoFrame:
    frame = VideoReformatter().reformat(
        av.VideoFrame.from_ndarray(picture, format="rgb24"),
        format=pixels,
        dst_color_range=told.get("range"),
        dst_colorspace=told.get("space"),
    )
    if told:
        frame.color_range, frame.colorspace = told["range"], told["space"]
    return frame


def compare(frame: av.VideoFrame, picture: NDArray[np.uint8], within: float = 3) -> None:
    eye = Eye(Fraction(1, 10))
    look = eye.look(frame, 0)
    assert look is not None
    height, width = look.image.shape[:2]
    assert min(height, width) == min(256, *picture.shape[:2])
    expected = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    assert np.abs(look.image.astype(int) - expected).mean() <= within / 2
    small = eye.thumbnail(frame)[..., ::-1]
    expected = cv2.resize(picture, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).mean() <= within


PLANAR = ["yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuv420p10le", "yuv422p12le", "yuv444p16le"]
OTHERS = ["yuv420p10be", "nv12", "p010le", "rgb24", "gbrp", "bgra", "yuva420p"]


@pytest.mark.parametrize("pixels", [*PLANAR, *OTHERS])
def test_of_every_pixel_format(pixels: str) -> None:
    compare(decoded(pixels, smooth()), smooth())


def test_without_colour() -> None:
    grey = cv2.cvtColor(cv2.cvtColor(smooth(), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.uint8)
    compare(decoded("gray", grey), grey)


@pytest.mark.parametrize("reach", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("space", [Colorspace.ITU601, Colorspace.ITU709])
def test_of_what_a_video_says_of_its_colours(reach: int, space: int) -> None:
    compare(decoded("yuv444p", smooth(), range=int(reach), space=int(space)), smooth())


@pytest.mark.parametrize(("height", "width"), [(33, 47), (257, 511), (1081, 641)])
def test_of_odd_sizes(height: int, width: int) -> None:
    compare(decoded("yuv420p", smooth(height, width)), smooth(height, width), within=6)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (16, 20), (2, 200)])
def test_tiny_pictures_stay_as_they_are(height: int, width: int) -> None:
    frame = decoded("yuv420p", smooth(height, width))
    look = Eye(Fraction(1, 10)).look(frame, 0)
    assert look is not None
    assert look.image.shape == Eye(Fraction(1, 10)).thumbnail(frame).shape == (height, width, 3)


def test_a_fine_pattern_is_averaged() -> None:
    lines = np.zeros((720, 1000, 3), np.uint8)
    lines[:, ::2] = 255
    frame = decoded("yuv444p", lines)
    assert abs(Eye(Fraction(1, 10)).thumbnail(frame).mean() - 127) < 3
    look = Eye(Fraction(1, 10)).look(frame, 0)
    assert look is not None
    scaled = VideoReformatter().reformat(frame, width=356, height=256, format="rgb24", interpolation=Interpolation.AREA)
    assert abs(look.image.mean() - scaled.to_ndarray().mean()) < 3
