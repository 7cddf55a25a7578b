"""Frame strips: one prompt and seed, a row of frames for the real clip and for every arm."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from numpy.typing import NDArray

from ablations.report.clips import prompts, real, sampled
from ablations.report.findings import Findings
from ablations.report.style import shortened

WIDTH = 3.3
PROMPTS = 2
FRAMES = 8


def draw_strips(findings: Findings) -> Figure | None:
    """Strips of the first prompts under the first seed that any arm was sampled with."""
    result = findings.result
    seed = next((run.seed for run in result.runs if run.samples is not None), None)
    if seed is None:
        return None
    rows: list[tuple[str, str, NDArray[np.uint8]]] = []
    reference = real(result, PROMPTS)
    if reference is not None:
        rows.append(("real", "black", reference))
    for arm, style in findings.styles.items():
        clips = sampled(result.run(arm, seed), PROMPTS)
        if clips is not None:
            rows.append((style.label, style.colour, clips))
    texts = prompts(result, PROMPTS)
    label_width = 0.9
    height = len(texts) * (0.22 + len(rows) * (WIDTH - label_width) / FRAMES)
    figure = Figure(figsize=(WIDTH, height), layout=PlaceHolderLayoutEngine(False, False))
    panels = figure.subplots(len(texts) * len(rows), 1, squeeze=False)[:, 0].reshape(len(texts), len(rows))
    _place(panels, label_width / WIDTH, 0.22 / height)
    for clip, text in enumerate(texts):
        top = panels[clip, 0].get_position().y1
        figure.text(0.005, top + 0.03 / height, f"“{shortened(text, 64)}”, seed {seed}", fontsize=6)
        for panel, (label, colour, clips) in zip(panels[clip], rows, strict=True):
            panel.imshow(strip(clips[clip]), interpolation="nearest", aspect="auto")
            panel.set_ylabel(shortened(label, 16), color=colour, rotation=0, ha="right", va="center", fontsize=6)
            panel.set_xticks([])
            panel.set_yticks([])
            for spine in panel.spines.values():
                spine.set_visible(False)
    return figure


def strip(clip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Up to eight evenly spaced frames of (T, 3, H, W) side by side with a white gap: uint8 (H, W', 3)."""
    chosen = np.linspace(0, len(clip) - 1, min(FRAMES, len(clip))).round().astype(int)
    gap = max(1, clip.shape[-1] // 24)
    frames = np.pad(clip[chosen], ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=255)
    return np.ascontiguousarray(frames.transpose(2, 0, 3, 1).reshape(frames.shape[2], -1, 3))


def _place(panels: NDArray[np.object_], left: float, title: float) -> None:
    """Lay the rows out by hand: constrained layout leaves gaps between images."""
    groups, rows = panels.shape
    row = (1 / groups - title) / rows
    for group in range(groups):
        for index in range(rows):
            panel: Axes = panels[group, index]
            panel.set_position((left, 1 - (group + 1) * title - (group * rows + index + 1) * row, 1 - left, row))
