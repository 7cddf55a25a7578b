"""What training wrote while it ran: its loss, whole and by noise level."""

import json
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ablations.report.findings import Findings
from ablations.report.legend import legend
from ablations.report.wording import MINUS

WIDTH = 3.3
LEVELS = "loss_by_sigma"

POINTS = 16
"""Of each line by noise level: a range sees few of the samples between two lines of the log."""

Log = dict[int, dict[str, Any]]
"""The lines of one run's `metrics.jsonl` by the samples they were written at."""


def draw_loss(findings: Findings) -> Figure | None:
    """Training loss on each arm's own clips: mean over seeds, with the band from the lowest to the highest seed."""
    curves = {arm: logs for arm in findings.styles if (logs := _logs(findings, arm))}
    if not curves:
        return None
    figure = Figure(figsize=(WIDTH, 1.9 + 0.16 * -(-len(findings.styles) // 2)))
    panel = figure.subplots()
    for arm, logs in curves.items():
        style, samples = findings.styles[arm], list(logs[0])
        losses = np.array([[line["loss"] for line in log.values()] for log in logs])
        (line,) = panel.plot(samples, losses.mean(axis=0), style.line, color=style.colour, markersize=3)
        line.set(marker=style.marker, markevery=max(1, len(samples) // 6))
        panel.fill_between(samples, losses.min(axis=0), losses.max(axis=0), color=style.colour, alpha=0.18, linewidth=0)
    panel.set_xlabel("training samples seen")
    panel.set_ylabel("training loss")
    legend(figure, findings, line=True)
    return figure


def draw_noise(findings: Findings) -> Figure | None:
    """One small panel a range of ln σ, lowest noise first; null where no training told its losses apart."""
    logs = {arm: logs for arm in findings.styles if (logs := _logs(findings, arm))}
    every = {arm: own for arm, own in logs.items() if all(LEVELS in line for log in own for line in log.values())}
    lines = [line for own in every.values() for log in own for line in log.values()]
    levels = dict.fromkeys(level for line in lines for level in line[LEVELS])
    curves = {level: {arm: _by_level(logs, level) for arm, logs in every.items()} for level in levels}
    shown = {level: arms for level, arms in curves.items() if any(np.isfinite(y).any() for _, y in arms.values())}
    if not shown:
        return None
    rows = -(-len(shown) // 2)
    figure = Figure(figsize=(WIDTH, 1.05 * rows + 0.25 + 0.16 * -(-len(findings.styles) // 2)))
    panels = figure.subplots(rows, 2, squeeze=False, sharex=True).ravel()
    for panel in panels[len(shown) :]:
        panel.axis("off")
    for (level, arms), panel in zip(shown.items(), panels, strict=False):
        for arm, (samples, losses) in arms.items():
            seen = np.isfinite(losses)
            style = findings.styles[arm]
            panel.plot(samples[seen], losses[seen], ".", ls=style.line, color=style.colour, lw=0.9, ms=2)
        panel.set_title(_range(level), loc="left")
        panel.xaxis.set_major_locator(MaxNLocator(3))
        panel.yaxis.set_major_locator(MaxNLocator(3))
    for panel in panels[len(shown) - 2 : len(shown)]:
        panel.set_xlabel("training samples seen")
        panel.tick_params(labelbottom=True)
    for panel in panels[::2]:
        panel.set_ylabel("training loss")
    legend(figure, findings, line=True, arms=every)
    return figure


def _logs(findings: Findings, arm: str) -> list[Log]:
    """The logs of an arm's runs, cut down to the points that all of them share; empty where there are none."""
    paths = [run.log for run in findings.result.runs if run.arm == arm and run.log is not None and run.log.exists()]
    texts = [path.read_text(encoding="utf-8").splitlines() for path in paths]
    logs: list[Log] = [{line["samples"]: line for line in map(json.loads, text)} for text in texts]
    shared = sorted(set.intersection(*map(set, logs))) if logs else []
    return [{samples: log[samples] for samples in shared} for log in logs] if shared else []


def _by_level(logs: list[Log], level: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Samples and losses (at most `POINTS`,) at one range of noise: means over seeds and neighbouring lines, or NaN."""
    lines = [[log[samples][LEVELS].get(level) for log in logs] for samples in logs[0]]
    values = np.array(lines, dtype=np.float64)  # (lines, seeds); null becomes NaN
    parts = np.array_split(np.arange(len(values)), min(POINTS, len(values)))
    places = np.array(list(logs[0]), dtype=np.float64)
    means = [values[part][np.isfinite(values[part])] for part in parts]
    return np.array([places[part].mean() for part in parts]), np.array([m.mean() if m.size else np.nan for m in means])


def _range(level: str) -> str:
    """`-1..0` as `−1 < ln σ ≤ 0`."""
    low, high = (end.replace("-", MINUS) for end in level.split(".."))
    return f"{f'{low} < ' if low else ''}ln σ{f' ≤ {high}' if high else ''}"
