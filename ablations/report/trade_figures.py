"""The primary metric against what it was bought with: training, clips, time."""

import json
from collections.abc import Collection, Mapping
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ablations.report.findings import Findings
from ablations.report.legend import legend
from ablations.report.result import Arm
from ablations.report.style import two_lines

WIDTH = 3.3
TIMING_NOISE = 1.05
"""Process times of equal work differ by up to this factor: no trade-off."""
LENGTHS = ("pretrain_videos.samples", "finetune.samples", "finetune.continues")


def draw_steps(findings: Findings) -> Figure | None:
    """One line for each set of arms whose overrides agree but for how long they train."""
    values = findings.values[findings.result.primary]
    groups: dict[str, list[Arm]] = {}
    for arm in findings.result.arms:
        rest = {name: value for name, value in arm.overrides.items() if name not in LENGTHS}
        if arm.samples and values[arm.name]:
            groups.setdefault(json.dumps(rest, sort_keys=True, default=str), []).append(arm)
    lines = [arms for arms in groups.values() if len({_seen(arm) for arm in arms}) > 1]
    if not lines:
        return None
    figure, panel = _empty(findings, [arm.name for arms in lines for arm in arms])
    for arms in lines:
        arms.sort(key=_seen)
        style, seen = findings.styles[arms[0].name], [_seen(arm) for arm in arms]
        scores = [values[arm.name] for arm in arms]
        panel.plot(seen, [fmean(v) for v in scores], style.line, color=style.colour)
        panel.fill_between(seen, [min(v) for v in scores], [max(v) for v in scores], color=style.colour, alpha=0.18)
        for arm in arms:
            own = findings.styles[arm.name]
            panel.plot(_seen(arm), fmean(values[arm.name]), own.marker, color=own.colour)
    panel.set_xlabel("training samples")
    return figure


def _seen(arm: Arm) -> int:
    """Samples that one run trains on in all."""
    return (arm.samples or 0) + arm.finetuned


def draw_kept(findings: Findings) -> Figure | None:
    """Share of the clips that an arm keeps."""
    total = findings.result.curation.clips if findings.result.curation else None
    if not total:
        return None
    shares = {arm.name: 100 * arm.kept / total for arm in findings.result.arms if arm.kept is not None}
    return _against(findings, shares, "share of clips kept, %")


def draw_cost(findings: Findings) -> Figure | None:
    """Process time of one run; null where the arms' differ by no more than timings of one arm do."""
    minutes = {arm.name: arm.seconds / 60 for arm in findings.result.arms if arm.seconds is not None}
    if minutes and max(minutes.values()) < TIMING_NOISE * min(minutes.values()):
        return None
    return _against(findings, minutes, "process time of a run, minutes")


def _against(findings: Findings, places: Mapping[str, float], label: str) -> Figure | None:
    """Mean and range over seeds of the primary metric, at each arm's place; null if there are no two places."""
    values = findings.values[findings.result.primary]
    shown = {arm: place for arm, place in places.items() if values[arm]}
    if len(set(shown.values())) < 2:
        return None
    figure, panel = _empty(findings, shown)
    for arm, place in shown.items():
        style = findings.styles[arm]
        panel.plot((place, place), (min(values[arm]), max(values[arm])), color=style.colour, linewidth=0.8)
        panel.plot(place, fmean(values[arm]), style.marker, color=style.colour)
    panel.set_xlabel(label)
    return figure


def _empty(findings: Findings, arms: Collection[str]) -> tuple[Figure, Axes]:
    """A figure with the primary metric upwards and the arms that it shows below."""
    figure = Figure(figsize=(WIDTH, 1.9 + 0.16 * -(-len(arms) // 2)))
    panel = figure.subplots()
    panel.set_ylabel(two_lines(findings.label(findings.result.primary), 26))
    panel.xaxis.set_major_locator(MaxNLocator(5))
    legend(figure, findings, arms=arms)
    return figure, panel
