"""What the public metrics return: a number that knows how it was measured."""

from typing import Self

import numpy as np
from numpy.typing import NDArray


class Result(float):
    """
    A metric's value: a float in every way, so that `float(result)`, comparisons and JSON see the number alone.

    `name` is the metric in full with its encoder, `n` the number of clips (or pairs) judged and `n_reference` those
    they were compared with, `per_clip` one value a clip (n,) for metrics that are means over clips, `stderr` the
    standard error over clips, `frames` the frames used of each clip, `weights` the SHA-256 of the encoder's weights.
    What does not apply is None.

    >>> result = Result(0.25, name="LPIPS[alex]", n=2, per_clip=[0.2, 0.3])
    >>> result, result < 1, result.per_clip.max()
    (Result(0.25, name='LPIPS[alex]', n=2), True, np.float64(0.3))
    """

    name: str
    n: int
    per_clip: NDArray[np.float64] | None
    n_reference: int | None
    stderr: float | None
    frames: int | None
    weights: str | None

    def __new__(
        cls,
        value: float,
        *,
        name: str = "",
        n: int = 0,
        per_clip: NDArray[np.float64] | list[float] | None = None,
        n_reference: int | None = None,
        stderr: float | None = None,
        frames: int | None = None,
        weights: str | None = None,
    ) -> Self:
        """Everything but the value has a default only so that copies and pickles work."""
        result = super().__new__(cls, value)
        result.name, result.n, result.n_reference = name, n, n_reference
        result.per_clip = None if per_clip is None else np.asarray(per_clip, np.float64)
        result.stderr, result.frames, result.weights = stderr, frames, weights
        return result

    @classmethod
    def mean_of(
        cls, per_clip: NDArray[np.float64], *, name: str, weights: str | None = None, frames: int | None = None
    ) -> Self:
        """The mean of one value a clip, with its standard error (None for a single clip)."""
        n = len(per_clip)
        stderr = float(np.std(per_clip, ddof=1) / np.sqrt(n)) if n > 1 else None
        return cls(
            float(np.mean(per_clip)), name=name, n=n, per_clip=per_clip, stderr=stderr, weights=weights, frames=frames
        )

    def __repr__(self) -> str:
        known = {key: getattr(self, key) for key in ("name", "n", "n_reference", "stderr", "frames")}
        told = ", ".join(f"{key}={value!r}" for key, value in known.items() if value is not None)
        return f"Result({float(self):.6g}, {told})"
