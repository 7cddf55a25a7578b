"""`typical-looks`: a weight-free stand-in for an aesthetics score. It is not LAION's and must not be called so.

Blur and noise, under- and overexposure pull any one measure in opposite directions, so one-sided scores fail. Here each
frame gets a few plain measures, each measure a robust z over the whole table, (x - median) / (1.4826 * MAD), and the
score is minus the largest |z|: 0 for a frame that is typical in every respect, lower the further it strays in its worst
one. Raw measures are taken while decoding; the score exists only once the whole table is known. Burned-in text has its
own score and is left out of this one: its letters are sharp and bright whatever the picture below looks like.
"""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

OverFrames = Literal["best", "mean", "worst"]

MEASURES = ("white point", "veil", "acutance", "noise")
METHOD = f"typical-looks (no weights): minus the largest robust |z| of {', '.join(MEASURES)}"
SIDE = 96
"""Shortest side, in pixels, at which looks are measured, so that sources of different sizes compare."""
WINDOW = 9
"""Side, in pixels, of the neighbourhood that an edge's contrast is taken from."""


def measures(frame: NDArray[np.uint8], text: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Raw measures, in the order of `MEASURES`, of an RGB frame (H, W, 3) outside of its text.

    `text` is 1 where text is, 0 elsewhere, of any size; a frame full of text is measured whole. White point: how bright
    the brightest channel gets. Veil: how dark the darkest channel gets (haze, fading, overexposure lift it). Acutance:
    log of the steepest slope, as a share of the contrast of its edge. Noise: log of detail in the flattest areas.
    """
    small = _reduced(frame)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    red, green, blue = cv2.split(small)
    outside = cv2.resize(text, grey.shape[::-1], interpolation=cv2.INTER_NEAREST) == 0
    if not outside.any():
        outside = np.ones_like(outside)
    return np.array(
        [
            _percentile(cv2.max(cv2.max(red, green), blue)[outside], 97),
            _percentile(cv2.min(cv2.min(red, green), blue)[outside], 5),
            np.log(_percentile(_edge_slopes(grey)[outside], 99.5) + 0.01),
            np.log(_percentile(_detail(grey)[outside], 30) + 1.0),
        ]
    )


def typical_looks(raw: NDArray[np.float64], over_frames: OverFrames) -> NDArray[np.float64]:
    """Scores (n,) of raw measures (n, frames, measures): 0 for typical looks, lower for odd ones.

    Each |z| is first combined over frames: with `best`, a clip is odd only in what is odd in all of them. A measure
    that does not vary over the table says nothing and is left out.
    """
    if not raw.size:
        return np.zeros(len(raw))
    median = np.median(raw, axis=(0, 1))
    spread = 1.4826 * np.median(np.abs(raw - median), axis=(0, 1))
    varies = spread > 1e-9
    z = np.abs(raw[..., varies] - median[varies]) / spread[varies]
    combined = {"best": z.min(axis=1), "mean": z.mean(axis=1), "worst": z.max(axis=1)}[over_frames]
    scores: NDArray[np.float64] = -combined.max(axis=-1, initial=0.0)
    return scores


def _reduced(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    scale = SIDE / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _edge_slopes(grey: cv2.typing.MatLike) -> NDArray[np.float32]:
    """Slope per pixel as a share of the contrast nearby: about 0.5 at a hard edge, whatever its height.

    Not with `cv2.magnitude`: its last bit depends on where in memory the frame lies.
    """
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    window = np.ones((WINDOW, WINDOW), np.uint8)
    contrast = cv2.subtract(cv2.dilate(grey, window), cv2.erode(grey, window)).astype(np.float32)
    slopes: NDArray[np.float32] = (np.hypot(across, down) / (contrast + 4)).astype(np.float32)
    return slopes


def _detail(grey: cv2.typing.MatLike) -> NDArray[np.float32]:
    """What blurring by one pixel takes away."""
    levels = grey.astype(np.float32)
    return cv2.absdiff(levels, cv2.GaussianBlur(levels, (0, 0), 1.0)).astype(np.float32)


def _percentile(values: NDArray[np.generic], percent: float) -> float:
    """Nearest-rank percentile; np.percentile takes several times as long."""
    rank = int(percent / 100 * (values.size - 1))
    return float(np.partition(values, rank)[rank])
