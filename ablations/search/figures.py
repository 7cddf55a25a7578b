"""Figures of a search, in the look of the other reports."""

from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path

import matplotlib as mpl
import optuna
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from ablations.report.figures import LOOK, WIDTH, Plot, save
from ablations.report.style import BASELINE, COLOURS, shortened, two_lines
from ablations.report.wording import ARROWS
from ablations.search.study import DIRECTIONS, Study
from ablations.search.winner import finished, front
from bench.settings import METRICS

FOUND, PRUNED = COLOURS[0], COLOURS[4]
LABELS = {name: metric.label for name, metric in METRICS.items()} | {
    "kept_f1": "F1 of kept clips",
    "kept_precision": "precision of kept clips",
    "kept_recall": "recall of kept clips",
    "kept_share": "share of clips kept",
}
"""What reports call the objectives, and the columns of trials that are of the same kind."""


def draw_search(study: Study, journal: optuna.Study, importance: Mapping[str, float], folder: Path) -> list[Plot]:
    """Write every figure that has something to show into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    plots = []
    with mpl.rc_context(LOOK):
        for plot, draw in FIGURES.items():
            figure = draw(study, journal, importance)
            if figure is not None:
                save(figure, folder, plot.name)
                plots.append(plot)
    return plots


def label(objective: str) -> str:
    """An objective with its direction."""
    return f"{LABELS[objective]} {ARROWS[DIRECTIONS[objective]]}"


def short(parameter: str) -> str:
    """A parameter's name without what all have in common."""
    return shortened(parameter.removeprefix("subset.keep.").replace(".", " "), 28)


def draw_history(study: Study, journal: optuna.Study, importance: Mapping[str, float]) -> Figure | None:
    """Every trial's first objective in the order they were asked, and the best so far."""
    complete = finished(journal)
    if not complete:
        return None
    objective = study.file.objectives[0]
    figure = Figure(figsize=(WIDTH, 2.0))
    panel = figure.subplots()
    cut = [t for t in journal.get_trials(states=(TrialState.PRUNED,)) if t.intermediate_values]
    if cut:
        panel.plot([t.number for t in cut], [last_value(t) for t in cut], "x", color=PRUNED, label="cut short")
    numbers, values = [t.number for t in complete], [t.values[0] for t in complete]
    panel.plot(numbers, values, "o", color=FOUND, mfc="none", label="whole")
    best = list(accumulate(values, min if DIRECTIONS[objective] == "lower" else max))
    panel.step(numbers, best, where="post", color=FOUND, label="best so far")
    incumbent = next((t for t in complete if t.params == study.file.incumbent), None)
    if incumbent is not None:
        panel.axhline(incumbent.values[0], color=BASELINE, linestyle="--", label="incumbent")
    panel.set_xlabel("trial")
    panel.set_ylabel(two_lines(label(objective), 26))
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    figure.legend(loc="outside lower center", ncols=4, columnspacing=1.0, handletextpad=0.4)
    return figure


def last_value(trial: FrozenTrial) -> float:
    """The value of the last rung that a trial was scored at."""
    return trial.intermediate_values[max(trial.intermediate_values)]


def draw_importance(study: Study, journal: optuna.Study, importance: Mapping[str, float]) -> Figure | None:
    """Share of the spread among good trials that each parameter accounts for."""
    if not importance:
        return None
    figure = Figure(figsize=(WIDTH, 0.6 + 0.2 * len(importance)))
    panel = figure.subplots()
    names = list(importance)[::-1]
    panel.barh([short(name) for name in names], [importance[name] for name in names], color=FOUND)
    panel.set_xlim(0, 1)
    wanted = LABELS[study.file.objectives[0]] if len(study.file.objectives) == 1 else "the front"
    panel.set_xlabel(two_lines(f"importance for {wanted}", 28))
    panel.tick_params(axis="y", length=0)
    return figure


def draw_front(study: Study, journal: optuna.Study, importance: Mapping[str, float]) -> Figure | None:
    """The first two objectives of every trial, and the trials that no other beats in both."""
    if len(study.file.objectives) < 2 or not finished(journal):
        return None
    figure = Figure(figsize=(WIDTH, 2.2))
    panel = figure.subplots()
    panel.plot(*places(finished(journal)), "o", color=FOUND, mfc="none")
    panel.plot(*places(front(study, journal)), "o-", color=FOUND)
    incumbent = next((t for t in finished(journal) if t.params == study.file.incumbent), None)
    if incumbent is not None:
        panel.plot(incumbent.values[0], incumbent.values[1], "D", color=BASELINE, label="incumbent")
        panel.legend()
    panel.set_xlabel(label(study.file.objectives[0]))
    panel.set_ylabel(two_lines(label(study.file.objectives[1]), 26))
    return figure


def places(trials: list[FrozenTrial]) -> tuple[list[float], list[float]]:
    """Trials' first and second objectives."""
    return [trial.values[0] for trial in trials], [trial.values[1] for trial in trials]


Draw = Callable[[Study, optuna.Study, Mapping[str, float]], Figure | None]

FIGURES: dict[Plot, Draw] = {
    Plot(
        "history",
        "History",
        "Every trial in the order it was asked. Crosses were cut short, at the value of their last rung, which is not "
        "comparable with that of whole trials.",
    ): draw_history,
    Plot(
        "importance",
        "Importance",
        "PED-ANOVA (Watanabe et al. 2023): how far the values of each parameter among the best tenth of the trials "
        "depart from chance.",
    ): draw_importance,
    Plot(
        "front",
        "Front",
        "Hollow: every trial. Filled: those that no other trial beats in both objectives.",
    ): draw_front,
}
