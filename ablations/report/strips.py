"""Frame strips: one prompt or object and seed, a row of frames for the real clip and for every arm."""

from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from ablations.report.clips import elevations, prompts, real, sampled
from ablations.report.findings import Findings
from ablations.report.style import shortened

WIDTH = 3.3
PROMPTS = 2
MANY_ARMS = 3
"""More than that are shown with one prompt alone: all reports together are to stay below 25 MB."""
FRAMES = 8
CHARACTERS, LONGEST = 66, 300
"""In a line above a group, and in a prompt: longer ones lose their middle."""
LABEL, TITLE, LINE, TURN = 0.9, 0.22, 0.1, 0.1
"""Inches: names of rows, a group's title, each further line of it, the angles below it."""


def draw_strips(findings: Findings) -> Figure | None:
    """Strips of the first prompts under the first seed that any arm was sampled with; null for orbits."""
    if elevations(findings.result, 1):
        return None
    titles = [f"“{shortened(text, LONGEST)}”" for text in prompts(findings.result, PROMPTS)]
    return _draw(findings, titles, azimuths=False)


def draw_orbits(findings: Findings) -> Figure | None:
    """Views of the first objects under the first seed: the true ones, and below them each arm's."""
    found = elevations(findings.result, PROMPTS)
    names = [f"object {place}, elevation {degrees:.0f}°" for place, degrees in enumerate(found)]
    return _draw(findings, names, azimuths=True) if names else None


def _draw(findings: Findings, titles: list[str], *, azimuths: bool) -> Figure | None:
    """A group of strips for each title, and the angle above each frame of a turn."""
    result = findings.result
    seed = next((run.seed for run in result.runs if run.samples is not None), None)
    if seed is None:
        return None
    titles = titles[: 1 if len(result.arms) > MANY_ARMS else None]
    heads = [wrap(f"{title}, seed {seed}", CHARACTERS) for title in titles]
    rows = _rows(findings, seed, len(heads), "truth" if azimuths else "real")
    title_height = TITLE + LINE * (max(map(len, heads), default=1) - 1) + (TURN if azimuths else 0)
    height = len(heads) * (title_height + len(rows) * (WIDTH - LABEL) / FRAMES)
    figure = Figure(figsize=(WIDTH, height), layout=PlaceHolderLayoutEngine(False, False))
    panels = figure.subplots(len(heads) * len(rows), 1, squeeze=False)[:, 0].reshape(len(heads), len(rows))
    _place(panels, LABEL / WIDTH, title_height / height)
    for clip, lines in enumerate(heads):
        bounds = panels[clip, 0].get_position()
        above = 0.03 + (TURN if azimuths else 0)
        figure.text(0.005, bounds.y1 + above / height, "\n".join(lines), fontsize=6, va="bottom")
        for place, view in enumerate(chosen(rows[0][2].shape[1]) if azimuths else ()):
            across = bounds.x0 + bounds.width * (place + 0.5) / FRAMES
            angle = f"{360 * view / rows[0][2].shape[1]:.0f}°"
            figure.text(across, bounds.y1 + 0.02 / height, angle, fontsize=5.5, ha="center")
        for panel, (label, colour, clips) in zip(panels[clip], rows, strict=True):
            panel.imshow(few_colours(strip(clips[clip])), interpolation="nearest", aspect="equal")
            panel.set_anchor("W")  # short clips leave the right side empty
            panel.set_ylabel(shortened(label, 16), color=colour, rotation=0, ha="right", va="center", fontsize=6)
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
    return figure


def _rows(findings: Findings, seed: int, count: int, true: str) -> list[tuple[str, str, NDArray[np.uint8]]]:
    """Label, colour and the first `count` clips of what is real, called `true`, and of every arm that was sampled."""
    shown = [(true, "black", real(findings.result, count))]
    for arm, style in findings.styles.items():
        shown.append((style.label, style.colour, sampled(findings.result.run(arm, seed), count)))
    return [(label, colour, clips) for label, colour, clips in shown if clips is not None]


def chosen(frames: int) -> list[int]:
    """Up to eight evenly spaced frames, first and last included."""
    return [round(place) for place in np.linspace(0, frames - 1, min(FRAMES, frames))]


def strip(clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Up to eight evenly spaced frames of (T, 3, H, W) side by side with a white gap: uint8 (H, W', 3)."""
    gap = max(1, clip.shape[-1] // 24)
    frames = np.pad(clip[chosen(len(clip))], ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=255)
    return np.ascontiguousarray(frames.transpose(2, 0, 3, 1).reshape(frames.shape[2], -1, 3))


def few_colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) in the 256 colours that suit it best: a PDF then takes a third of the bytes."""
    palette = Image.fromarray(pixels).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return np.asarray(palette.convert("RGB"))


def _place(panels: NDArray[np.object_], left: float, title: float) -> None:
    """Lay the rows out by hand: constrained layout leaves gaps between images."""
    groups, rows = panels.shape
    row = (1 / groups - title) / rows
    for group in range(groups):
        for index in range(rows):
            panel: Axes = panels[group, index]
            panel.set_position((left, 1 - (group + 1) * title - (group * rows + index + 1) * row, 1 - left, row))
