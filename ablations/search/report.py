"""The report of a search: what was found, what it rests on, and every trial."""

import csv
import io
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ablations.artifacts import Store
from ablations.job import code_revision, machine
from ablations.report.collect import collect
from ablations.report.findings import Findings
from ablations.report.html import assets, environment
from ablations.report.wording import four_digits, percent
from ablations.search.figures import LABELS, draw_search, short
from ablations.search.journal import counted, journal_path
from ablations.search.parameters import shown
from ablations.search.study import Study
from ablations.search.winner import finished, front, winner
from ablations.statistics import paired_difference
from bench.settings import METRICS

HERE = Path(__file__).parent
ENOUGH_FOR_IMPORTANCE = 10


def write_search_report(study: Study, journal: optuna.Study, store: Store, out: Path, final: Path | None) -> Path:
    """Write page, `trials.csv` and figures into `out`; returns the page. `final` is the spec of the retraining."""
    out.mkdir(parents=True, exist_ok=True)
    weights = importance(study, journal)
    plots = draw_search(study, journal, weights, out / "figures")
    rows = [row(study, trial) for trial in journal.get_trials() if trial.state != TrialState.WAITING]
    (out / "trials.csv").write_text(as_csv(rows), encoding="utf-8", newline="\n")
    template = environment(HERE).get_template("report.html")
    page: str = template.render(
        study=study,
        name=journal.study_name,
        sentences=sentences(study, journal),
        verdicts=retrained(study, store, final) if final else [],
        plots=plots,
        importance=weights,
        front=[row(study, trial) for trial in front(study, journal)] if len(study.file.objectives) > 1 else [],
        rows=rows,
        heading=lambda column: LABELS.get(column) or short(column),
        journal=journal_path(study, store).name,
        revision=code_revision(),
        machine=machine(),
        **assets(),
    )
    (out / "report.html").write_text(page, encoding="utf-8", newline="\n")
    return out / "report.html"


def importance(study: Study, journal: optuna.Study) -> dict[str, float]:
    """Parameter to importance for the objective, or for the front of several; empty where trials are too few."""
    values = [trial.values[0] for trial in finished(journal)]
    if len(values) < ENOUGH_FOR_IMPORTANCE or len(set(values)) == 1:
        return {}
    return optuna.importance.get_param_importances(journal)


def sentences(study: Study, journal: optuna.Study) -> list[str]:
    """What was found, against the incumbent, and what it cost, in words."""
    trials = journal.get_trials()
    ended = counted(trials)
    states = {state: sum(trial.state == state for trial in ended) for state in TrialState}
    duplicates = sum("duplicate_of" in trial.user_attrs for trial in trials)
    lines = [
        f"{len(ended)} trials: {states[TrialState.COMPLETE]} complete, {states[TrialState.PRUNED]} cut short or "
        f"outside the constraint, {states[TrialState.FAIL]} failed; {duplicates} more were duplicates and cost nothing."
    ]
    found = winner(study, journal)
    if found is None:
        return [*lines, "No trial met the constraint and has a value: nothing was found."]
    objective = study.file.objectives[0]
    point = ", ".join(f"{short(name)} {shown(value)}" for name, value in found.params.items())
    best = f"Best by {LABELS[objective]}: trial {found.number} with {found.values[0]:.4g}, at {point}"
    return [*lines, f"{best}; {against(study, journal, found)}", *spent(study, ended)]


def against(study: Study, journal: optuna.Study, found: FrozenTrial) -> str:
    """The winner's paired difference from the incumbent; where values are noisy, no verdict: it is the best of many."""
    if found.params == study.file.incumbent:
        return "that is the incumbent: nothing better was found."
    incumbent = next((t for t in finished(journal) if t.params == study.file.incumbent), None)
    if incumbent is None:
        return "the incumbent has no value to compare it with."
    objective = study.file.objectives[0]
    if objective not in METRICS:
        return f"the incumbent has {incumbent.values[0]:.4g}."
    ours, theirs = ({int(s): v for s, v in t.user_attrs["by_seed"][objective].items()} for t in (found, incumbent))
    difference = paired_difference("found", ours, "incumbent", theirs)
    words = f"{four_digits(difference.mean)} against the incumbent"
    if difference.interval:
        ends = f"{four_digits(difference.interval.low)} to {four_digits(difference.interval.high)}"
        words += f", 95 % interval {ends} over {len(difference.seeds)} paired seeds"
    return f"{words}. It was picked as the best of many, which flatters it: only retraining with fresh seeds can tell."


def spent(study: Study, ended: list[FrozenTrial]) -> list[str]:
    """Training that the search took, against training every point of the grid in full."""
    seeds = len(study.file.seeds)
    samples = sum(trial.user_attrs.get("samples", 0) for trial in ended) * seeds
    if not samples or study.grid is None or study.file.objectives[0] not in METRICS:
        return []
    whole = study.grid * study.rungs[-1] * seeds
    return [
        f"Training: {samples:,} samples, {percent(samples / whole)} of the {whole:,} that all {study.grid} points of "
        "the space would take."
    ]


def retrained(study: Study, store: Store, final: Path) -> list[dict[str, str]]:
    """The verdicts of the winner's retraining."""
    from ablations.plan import plan
    from ablations.spec import load

    spec = load(str(final), study.asked_scale)
    findings = Findings(collect(spec, plan(spec), store))
    pairs = zip(findings.comparisons.values(), findings.verdicts, strict=True)
    return [{"word": comparison.verdict, "text": text} for comparison, text in pairs]


def row(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """One trial for the tables."""
    values = dict(zip(study.file.objectives, trial.values or [], strict=bool(trial.values)))
    whole = trial.state == TrialState.COMPLETE
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        **{objective: values.get(objective) if whole else None for objective in study.file.objectives},
        **({"kept_share": trial.user_attrs.get("kept_share")} if study.file.kept_share else {}),
        **{name: shown(value) if value is None else value for name, value in trial.params.items()},
        "note": note(trial),
    }


def note(trial: FrozenTrial) -> str:
    """Why a trial has no value, or whose double it is."""
    if "duplicate_of" in trial.user_attrs:
        return f"duplicate of trial {trial.user_attrs['duplicate_of']}"
    return str(trial.user_attrs.get("reason", ""))


def as_csv(rows: list[dict[str, Any]]) -> str:
    """All trials, one a line."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
