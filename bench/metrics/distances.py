"""The distances between two sets of features by name, each with its standard error."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics.frechet import Gaussian, extrapolated_frechet_distance, frechet_distance
from bench.metrics.kernel import kernel_distance
from bench.metrics.sets import jackknife_stderr
from bench.settings import Distance


def measured_distance(
    kind: Distance, generated: NDArray[np.float32], reference: NDArray[np.float32], clips: int
) -> tuple[float, float | None]:
    """
    The distance of features (k · clips, d) of `clips` clips to the reference's (m, d), and its standard error.

    The error is that of the choice of generated clips; None for fewer than 32 (see `jackknife_stderr`).
    """
    measure: Callable[[NDArray[Any]], float]
    match kind:
        case "frechet":
            measure = partial(frechet_distance, y=Gaussian.of(reference, "y"))
        case "extrapolated":
            measure = partial(extrapolated_frechet_distance, y=reference)
        case "kernel":
            measure = partial(kernel_distance, y=reference)
    return measure(generated), jackknife_stderr(generated, clips, measure)
