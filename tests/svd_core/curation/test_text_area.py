import cv2
import drawn
import numpy as np
import pytest

from svd_core.curation.text_area import TextDetector, network_size, text_boxes
from svd_core.encoders.weights import locate


@pytest.fixture(scope="module")
def detector() -> TextDetector:
    return TextDetector(locate("ppocr_det"), side=96)


def with_text(image: drawn.Frames, text: str, scale: float) -> drawn.Frames:
    written = image.copy()
    cv2.putText(written, text, (8, 70), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 2, cv2.LINE_AA)
    return written


def test_text_is_found_and_larger_text_covers_more(detector: TextDetector) -> None:
    image = drawn.shot(2, frames=1, height=128, width=192)[0]
    frames = [image, with_text(image, "SAMPLE", 0.6), with_text(image, "SAMPLE", 0.9)]
    none, small, large = detector.covered(frames).mean(axis=(1, 2))
    assert none == 0.0
    assert 0.0 < small < large < 0.6


def test_areas_do_not_depend_on_the_batch(detector: TextDetector) -> None:
    images = [with_text(drawn.shot(seed, frames=1)[0], "Text here", 0.7) for seed in range(3)]
    alone = [detector.covered([image])[0] for image in images]
    assert np.mean(detector.covered(images) != np.stack(alone)) < 0.01


def test_overlapping_boxes_count_once() -> None:
    probability = np.zeros((128, 192), np.float32)
    probability[20:28, 10:150] = 0.9
    line = text_boxes(probability).mean()
    probability[31:39, 10:150] = 0.9  # grown boxes of two close lines overlap
    assert line < text_boxes(probability).mean() < 2 * line


@pytest.mark.parametrize("level", [0.2, 0.45])
def test_unsure_regions_are_not_text(level: float) -> None:
    probability = np.zeros((64, 96), np.float32)
    probability[20:28, 10:80] = level
    assert not text_boxes(probability).any()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((128, 192), (96, 128)), ((192, 128), (128, 96)), ((16, 16), (96, 96)), ((20, 90), (96, 448))],
)
def test_network_size_keeps_the_shape_in_whole_strides(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert network_size(np.zeros((*shape, 3), np.uint8), 96) == expected
