"""`typical-looks`: a weight-free stand-in for an aesthetics score. It is not LAION's and must not be called so.

Blur and noise, under- and overexposure pull any one measure in opposite directions, so one-sided scores fail. Here each
frame gets a few plain measures, each measure a robust z over the whole table, (x - median) / (1.4826 * MAD), and the
score is minus the largest |z|: 0 for a frame that is typical in every respect, lower the further it strays in its worst
one. Raw measures are taken while decoding; the score exists only once the whole table is known.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

METHOD = "typical-looks (no weights; minus the largest robust |z| of sharpness, noise, contrast, exposure, colour)"
MEASURES = ("sharpness", "noise", "contrast", "exposure", "colour")


def measures(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The five raw measures, in the order of `MEASURES`, of an RGB frame (H, W, 3). Logarithms where scale matters."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    laplacian = np.abs(cv2.filter2D(grey, -1, NOISE_KERNEL))
    gradient = np.hypot(cv2.Sobel(grey, -1, 1, 0, scale=0.125), cv2.Sobel(grey, -1, 0, 1, scale=0.125))
    return np.array(
        [
            np.log(np.percentile(gradient, 98) + 0.1),
            np.log(np.median(laplacian) + 0.1),
            np.log(grey.std() + 1.0),
            grey.mean() / 255,
            np.log(frame.std(axis=2).mean() + 1.0),
        ]
    )


NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6
"""Immerkaer 1996, "Fast Noise Variance Estimation": blind to flat areas and straight edges."""


def typical_looks(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (n, frames) of raw measures (n, frames, measures), 0 for typical and lower for odd looks.

    A measure that does not vary over the table says nothing and is left out. NaN stays NaN.
    """
    flat = raw.reshape(-1, raw.shape[-1])
    median = np.nanmedian(flat, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(flat - median), axis=0)
    varies = spread > 1e-9
    z = np.abs(raw[..., varies] - median[varies]) / spread[varies]
    scores: NDArray[np.float64] = -z.max(axis=-1, initial=0.0)
    return scores
