"""
`python docs/make/power_curve.py`: the simulations behind docs/statistics.md, and its figure docs/power.png.

Every number goes through the functions that a report uses. Minutes on one core; equal to the bit each time.
"""

import gc
from collections.abc import Callable
from functools import partial

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from page import DOCS, put, table

from ablations.report.figures import LOOK
from ablations.report.style import COLOURS, MARKERS
from ablations.statistics import clustered_mean, compare, paired_difference, power
from bench.metrics.frechet import frechet_distance
from bench.metrics.sets import jackknife_stderr

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

SEEDS = (3, 5, 10)
ABLATIONS = 2000


def mixture(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Runs of two kinds: four in five near -1, one in five near 4 (a training that diverged, say)."""
    return np.where(draw.random(shape) < 0.8, -1.0, 4.0) + 0.3 * draw.standard_normal(shape)


LAWS: dict[str, Draw] = {
    "normal": lambda draw, shape: draw.standard_normal(shape),
    "heavy tails (t, 3 d.f.)": lambda draw, shape: draw.standard_t(3, shape),
    "skewed (log-normal)": lambda draw, shape: draw.lognormal(0, 1, shape) - np.exp(0.5),
    "one-sided (exponential)": lambda draw, shape: draw.standard_exponential(shape) - 1,
    "two kinds (4 : 1)": mixture,
}
"""Laws of mean zero."""


def verdict_rate(scores: Callable[[np.random.Generator], Floats], entropy: list[int]) -> float:
    """Share of simulated ablations, scores (arms, seeds) with the baseline first, that call any arm better or worse."""
    draw, said = np.random.default_rng(entropy), 0
    for _ in range(ABLATIONS):
        rows = {str(arm): dict(enumerate(map(float, row))) for arm, row in enumerate(scores(draw))}
        said += any(found.verdict != "inconclusive" for found in compare(rows, "0", "lower").values())
    return said / ABLATIONS


def false_verdicts() -> str:
    """Rate of false verdicts: all arms alike, scores by each law, a shift by seed shared by all arms."""
    sizes = [(1, 3), (2, 5), (4, 10)]
    rows = []
    for number, (law, errors) in enumerate(LAWS.items()):
        rates = []
        for arms, seeds in sizes:

            def scores(
                draw: np.random.Generator, shape: tuple[int, int] = (arms + 1, seeds), errors: Draw = errors
            ) -> Floats:
                return errors(draw, shape) + draw.standard_normal(shape[1])

            rates.append(verdict_rate(scores, [1, number, arms, seeds]))
        rows.append([law, *map(percent, rates)])
    return table(["scores of every arm", *(f"{arms} + baseline, {seeds} seeds" for arms, seeds in sizes)], rows)


def coverage() -> str:
    """Coverage of the plain and the wide 95 % interval, where the differences themselves follow each law."""
    rows = []
    for number, (law, errors) in enumerate(LAWS.items()):
        row = [law]
        for seeds in SEEDS:
            differences = errors(np.random.default_rng([2, number, seeds]), (4000, seeds))
            row += [f"{plain} ({wide})" for plain, wide in [covered(differences)]]
        rows.append(row)
    return table(["differences", *(f"{seeds} seeds" for seeds in SEEDS)], rows)


def covered(differences: Floats) -> tuple[str, str]:
    """Share of rows (n, seeds) whose plain and whose wide interval hold the true mean, zero."""
    hits = np.zeros(2)
    for row in differences:
        found = paired_difference("arm", dict(enumerate(map(float, row))), "base", dict.fromkeys(range(len(row)), 0.0))
        hits += [bool(i and i.low <= 0 <= i.high) for i in (found.interval, found.wide_interval)]
    plain, wide = hits / len(differences)
    return percent(plain), percent(wide)


def clusters() -> str:
    """Coverage of the interval clustered by source, half of the variance between sources, beside the naive one."""
    rows = []
    for sources in (5, 10, 20, 50):
        row = [str(sources)]
        for unequal in (False, True):
            draw = np.random.default_rng([3, sources, unequal])
            sizes = 1 + np.arange(sources) % 9 if unequal else np.full(sources, 5)
            hits = np.zeros(2)
            for _ in range(ABLATIONS // 2):
                values = draw.standard_normal(sources).repeat(sizes) + draw.standard_normal(sizes.sum())
                _, interval = clustered_mean(values.tolist(), np.arange(sources).repeat(sizes).tolist())
                naive = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
                hits += [interval.low <= 0 <= interval.high, abs(values.mean()) <= naive]
            row += [f"{percent(2 * hits[0] / ABLATIONS)} ({percent(2 * hits[1] / ABLATIONS)})"]
        rows.append(row)
    return table(["source videos", "5 clips each", "1 to 9 clips each"], rows)


def jackknife() -> str:
    """The jackknife's standard error of a Fréchet distance beside the true spread over 100 redrawn sets."""
    rows = []
    for n, d in ((64, 16), (256, 16), (256, 64)):
        draw = np.random.default_rng([4, n, d])
        reference = draw.standard_normal((1000, d)).astype(np.float32)
        sets = [(draw.standard_normal((n, d)) * 1.2 + 0.1).astype(np.float32) for _ in range(100)]
        distances = [frechet_distance(features, reference) for features in sets]
        errors = [jackknife_stderr(features, n, partial(frechet_distance, y=reference)) or np.nan for features in sets]
        rows.append(
            [f"{n} × {d}", *(f"{value:.3f}" for value in (np.mean(distances), np.std(distances), np.mean(errors)))]
        )
    return table(["clips × features", "distance", "its true standard error", "the jackknife's, on average"], rows)


def draw_power() -> Figure:
    """Power against the true effect: lines from `power`, points from whole simulated ablations."""
    figure = Figure(figsize=(4.6, 3.0))
    axes = figure.add_subplot()
    effects, points = np.linspace(0, 4, 81), np.linspace(0.5, 3.5, 4)
    for seeds, colour, marker in zip((3, 5, 10, 20), COLOURS, MARKERS, strict=False):
        axes.plot(effects, [100 * power(float(effect), seeds) for effect in effects], color=colour)
        found = [100 * simulated_power(float(effect), seeds) for effect in points]
        axes.plot(points, found, marker, color=colour, label=f"{seeds} seeds")
    axes.axhline(80, color="#999999", linewidth=0.6, linestyle=":")
    axes.set_xlabel("true difference, in standard deviations of the paired differences")
    axes.set_ylabel("found, % of ablations")
    axes.legend(loc="lower right")
    return figure


def simulated_power(effect: float, seeds: int) -> float:
    """Share of ablations with one arm, paired differences N(effect, 1), that find it."""

    def scores(draw: np.random.Generator) -> Floats:
        baseline = draw.standard_normal(seeds)
        return np.stack([baseline, baseline + effect + draw.standard_normal(seeds)])

    return verdict_rate(scores, [5, seeds, round(100 * effect)])


def percent(share: float) -> str:
    """To a tenth of a percent."""
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    compare({"a": {0: 1.0, 1: 2.0}, "b": {0: 2.0, 1: 4.0}}, "a", "lower")  # loads statsmodels, whose multipletests
    gc.freeze()  # collects garbage at every call: with a frozen heap that takes no time
    with mpl.rc_context(LOOK):
        draw_power().savefig(DOCS / "power.png", metadata={"Software": None})
    put(
        "statistics.md",
        false_verdicts=false_verdicts(),
        coverage=coverage(),
        clusters=clusters(),
        jackknife=jackknife(),
    )
