"""The winner of a study, and the ablation that retrains it against the incumbent."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from ruamel.yaml import YAML

from ablations.report.build import remove_report
from ablations.search.parameters import Point, Value
from ablations.search.study import DIRECTIONS, Study
from bench.settings import ScoreSettings

WINNER = "winner"
"""The folder of the retraining's report, in the study's."""


def finished(journal: optuna.Study) -> list[FrozenTrial]:
    """Complete trials that meet the constraint, duplicates left out."""
    trials = journal.get_trials(states=(TrialState.COMPLETE,))
    return [t for t in trials if "duplicate_of" not in t.user_attrs and all(v <= 0 for v in t.constraints.values())]


def winner(study: Study, journal: optuna.Study) -> FrozenTrial | None:
    """The trial that is best by the first objective; the earlier of equals."""
    sign = 1 if DIRECTIONS[study.file.objectives[0]] == "lower" else -1
    return min(finished(journal), key=lambda trial: (sign * trial.values[0], trial.number), default=None)


def front(study: Study, journal: optuna.Study) -> list[FrozenTrial]:
    """Trials that no other beats in every objective, by the first objective."""
    numbers = {trial.number for trial in journal.best_trials}
    return sorted((t for t in finished(journal) if t.number in numbers), key=lambda trial: trial.values[0])


def write_final_spec(study: Study, point: Point, name: str, folder: Path) -> Path | None:
    """
    Write the ablation of the point found, called `name`, against the incumbent, on fresh seeds and a held-out
    reference, as a spec file.

    Null where the study asks for no retraining, or the incumbent itself has won: then the spec and report of an earlier
    winner are removed.
    """
    final, path = study.file.final, folder / f"{study.name}_winner.yaml"
    if final is None or point == study.file.incumbent:
        path.unlink(missing_ok=True)
        remove_report(folder / WINNER)
        return None
    held_out = {"reference.seed": final.reference_seed}
    return write_spec(
        study,
        path,
        f"Does {name} of the study {study.name} beat the incumbent, trained with fresh seeds and scored on reference "
        "clips that chose nothing?",
        seeds=final.seeds,
        baseline="incumbent",
        arms={"incumbent": {**study.file.incumbent, **held_out}, "found": {**point, **held_out}},
        metrics=(final.primary or study.file.objectives[0], *ScoreSettings().metrics),
    )


def write_spec(
    study: Study,
    path: Path,
    question: str,
    *,
    seeds: Sequence[int],
    baseline: str,
    arms: Mapping[str, Mapping[str, Value]],
    metrics: Sequence[str],
) -> Path:
    """Write an ablation over a study's recipe as a spec file, whose primary metric is the first of `metrics`."""
    spec = {
        "question": question,
        "paper": study.file.paper,
        "recipe": study.recipe_name,
        "seeds": list(seeds),
        "baseline": baseline,
        "arms": dict(arms),
        "primary": metrics[0],
        "metrics": list(dict.fromkeys(metrics)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    YAML().dump(spec, path)
    return path
