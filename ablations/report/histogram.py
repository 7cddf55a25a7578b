"""The spread of a score as the numbers of an SVG: bars, ticks, and thresholds with what they drop."""

from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

BINS = 60
WIDTH, HEIGHT = 600.0, 120.0
"""In the SVG's own units; the axis and its labels lie below."""
TAIL = 0.002
"""Share of the clips at either end that are drawn in the outermost bars, so that a few odd ones leave room."""


@dataclass(frozen=True)
class Cut:
    """A threshold: everything `below` (or above) it is dropped."""

    value: float
    below: bool
    label: str

    def drops(self, value: float | None) -> bool:
        """Whether a score lies beyond the threshold; a missing one does."""
        return value is None or (value < self.value if self.below else value > self.value)


@dataclass(frozen=True)
class Bar:
    """Clips between two values, with its place and height in the drawing."""

    x: float
    width: float
    height: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Histogram:
    """A drawing: bars, ticks (place, label), cuts (place, start and width of what is dropped, cut)."""

    bars: list[Bar]
    ticks: list[tuple[float, str]]
    cuts: list[tuple[float, float, float, Cut]]
    log: bool


def histogram(values: NDArray[np.float64], cuts: list[Cut]) -> Histogram:
    """The drawing of finite `values`; none of its parts where there are no values."""
    if not values.size:
        return Histogram([], [], [], False)
    low, high = (float(end) for end in np.quantile(values, (TAIL, 1 - TAIL)))
    low, high = min([low, *(cut.value for cut in cuts)]), max([high, *(cut.value for cut in cuts)])
    if high <= low:
        low, high = low - 0.5, low + 0.5
    counts, edges = np.histogram(np.clip(values, low, high), bins=BINS, range=(low, high))
    log = bool(counts.max() > 0.5 * counts.sum())
    heights = np.log1p(counts) if log else counts.astype(float)
    heights = HEIGHT * heights / heights.max()

    def place(value: float) -> float:
        return round(WIDTH * (value - low) / (high - low), 2)

    bars = [
        Bar(place(left), round(WIDTH / BINS, 2), round(float(height), 2), float(left), float(right), int(count))
        for left, right, height, count in zip(edges, edges[1:], heights, counts, strict=False)
    ]
    ticks = [float(tick) for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]
    return Histogram(
        bars, [(place(tick), f"{tick:g}") for tick in ticks], [_drawn(cut, place(cut.value)) for cut in cuts], log
    )


def _drawn(cut: Cut, place: float) -> tuple[float, float, float, Cut]:
    return (place, 0.0, place, cut) if cut.below else (place, place, round(WIDTH - place, 2), cut)
