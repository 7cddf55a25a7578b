"""Share of a frame that burned-in text covers (paper: CRAFT boxes on first, middle and last frame).

Here the boxes come from PP-OCR's detection network, read as Liao et al. 2020, "Real-time Scene Text Detection with
Differentiable Binarization": regions of the probability map over 0.3, kept if their mean reaches 0.5, grown by the
unclip distance (area * 1.6 / perimeter). Boxes that overlap count once.
"""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

METHOD = "PP-OCRv6 small detection, share of the frame under the union of boxes"
PIXEL_THRESHOLD = 0.3
BOX_THRESHOLD = 0.5
UNCLIP_RATIO = 1.6
MIN_SIDE = 3.0
TALLEST_LINE = 0.3
"""Longest height of a line, as a share of the frame's shortest side: what is larger (rings, crosses,
stripes) only looks like a letter to the network."""
STRIDE = 32
"""The network halves its input five times."""


class TextDetector:
    """PP-OCR text detection on one thread. `weights` is the ONNX file, `side` the shortest side of its input in pixels
    (a multiple of 32 near it is used; smaller is quicker and misses smaller letters).
    """

    def __init__(self, weights: Path, side: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self.side = side

    def covered(self, frames: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Where text is, for each frame (uint8 RGB, all H, W, 3): 1 or 0, (frames, h, w) at the network's size."""
        height, width = network_size(frames[0], self.side)
        scaled = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames]
        bgr = np.stack(scaled)[..., ::-1]
        batch = (bgr.astype(np.float32) / 127.5 - 1.0).transpose(0, 3, 1, 2)
        (maps,) = self.session.run(None, {self.session.get_inputs()[0].name: np.ascontiguousarray(batch)})
        return np.stack([text_boxes(probability) for probability in maps[:, 0]])


def network_size(frame: NDArray[np.uint8], side: int) -> tuple[int, int]:
    """Input (height, width) with the shortest side near `side`, the frame's shape kept, both multiples of 32."""
    height, width = frame.shape[:2]
    scale = side / min(height, width)
    return _whole_strides(height * scale), _whole_strides(width * scale)


def _whole_strides(length: float) -> int:
    return max(STRIDE, round(length / STRIDE) * STRIDE)


def text_boxes(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Union of the text boxes in a probability map (H, W): 1 inside, 0 outside."""
    covered = np.zeros(probability.shape, dtype=np.uint8)
    mask = cv2.dilate((probability > PIXEL_THRESHOLD).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        centre, (width, height), angle = cv2.minAreaRect(contour)
        if min(width, height) < MIN_SIDE:
            continue
        if _mean_inside(probability, cv2.boxPoints((centre, (width, height), angle))) < BOX_THRESHOLD:
            continue
        grow = width * height * UNCLIP_RATIO / (width + height)  # both sides, so twice area * ratio / perimeter
        if min(width, height) + grow > TALLEST_LINE * min(probability.shape):
            continue
        box = cv2.boxPoints((centre, (width + grow, height + grow), angle))
        cv2.fillPoly(covered, [np.round(box).astype(np.int32)], 1)
    return covered


def _mean_inside(probability: NDArray[np.float32], box: cv2.typing.MatLike) -> float:
    inside = np.zeros(probability.shape, dtype=np.uint8)
    cv2.fillPoly(inside, [box.astype(np.int32)], 1)
    return float(cv2.mean(probability, inside)[0])
