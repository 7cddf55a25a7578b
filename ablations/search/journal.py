"""A study's journal: one Optuna journal file with the study and its forks, opened by one controller at a time."""

import json
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ablations.artifacts import Store
from ablations.errors import AblateError
from ablations.plan import Graph
from ablations.search.parameters import Point
from ablations.search.study import DIRECTIONS, Study
from ablations.stages import segments

DEFINITION = "definition"
GRACE_S = 5
"""After this long the lock of a controller that was killed while writing is taken over; a write takes milliseconds."""


class ChangedStudy(AblateError):
    """The study file is no longer the one that the journal's trials were made for."""


def journal_path(study: Study, store: Store) -> Path:
    """Where the journal lies: what `optuna-dashboard` is given."""
    return store.folder("studies") / f"{study.name}-{study.scale}.log"


def open_journal(study: Study, store: Store, *, fork: bool = False) -> optuna.Study:
    """
    The Optuna study to go on with: the one of the same definition, or a new one with the incumbent as first trial.

    Raises ChangedStudy with a diff if the journal only has studies of another definition, unless `fork` allows a new
    study beside them. A fork tries the points of the latest study again that its own space still has: what has not
    changed of them is found in the store.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = journal_path(study, store)
    drop_half_line(path)
    lock = optuna.storages.journal.JournalFileSymlinkLock(str(path), grace_period=GRACE_S)
    storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    summaries = sorted(optuna.get_all_study_summaries(storage), key=lambda summary: summary._study_id)
    wanted = definition(study)
    for summary in summaries:
        if summary.user_attrs.get(DEFINITION) == wanted:
            return optuna.load_study(study_name=summary.study_name, storage=storage)
    whole = [summary for summary in summaries if DEFINITION in summary.user_attrs]
    if whole and not fork:
        diff = "\n  ".join(changes(whole[-1].user_attrs[DEFINITION], wanted))
        raise ChangedStudy(
            f"{study.document.path} has changed since {whole[-1].study_name!r} was begun:\n  {diff}\n"
            "Change it back to go on with that study, or say --fork to begin a new one beside it."
        )
    points = [study.file.incumbent]
    if whole:
        points += old_points(optuna.load_study(study_name=whole[-1].study_name, storage=storage), study)
    return begin(study, storage, f"{study.name}.{len(summaries) + 1}" if summaries else study.name, points)


def begin(study: Study, storage: JournalStorage, name: str, points: list[Point]) -> optuna.Study:
    """A new study that tries these points first. The definition comes last: without it a study was never begun."""
    lower, higher = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
    directions = [lower if DIRECTIONS[objective] == "lower" else higher for objective in study.file.objectives]
    begun = optuna.create_study(storage=storage, study_name=name, directions=directions)
    for point in points:
        begun.enqueue_trial(point, skip_if_exists=True)
    begun.set_user_attr(DEFINITION, definition(study))
    return begun


def old_points(old: optuna.Study, study: Study) -> list[Point]:
    """The points of another study's trials that this one's space has."""
    space = study.file.parameters
    return [
        trial.params
        for trial in old.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
        if trial.params.keys() == space.keys() and all(space[name].holds(value) for name, value in trial.params.items())
    ]


def definition(study: Study) -> dict[str, Any]:
    """Everything that makes two trials of a study comparable, flat. The budget is no part of it."""
    file = study.file
    free = {"question", "paper", "trials", "parallel", "final", "recipe"}
    flat = {name: value for name, value in file.model_dump(mode="json", exclude=free).items() if name != "parameters"}
    flat |= {f"parameters.{name}": value.model_dump(mode="json") for name, value in file.parameters.items()}
    graph = Graph()
    roles = segments(study.recipe(file.incumbent, "incumbent"), study.rungs, graph.add)[-1]
    for role, node in roles.items():
        flat |= {f"{role}.{name}": value for name, value in node.settings.items()}
    objectives = {role: roles[role].fingerprint for role in ("score", "score_subset")}
    plain: dict[str, Any] = json.loads(json.dumps({**flat, "fingerprints of the incumbent": objectives}))
    return plain


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """`name: old → new` for everything that differs; what is on one side only counts."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name}: {json.dumps(old.get(name))} → {json.dumps(new.get(name))}" for name in names]


def drop_half_line(path: Path) -> None:
    """A machine that lost power may leave the last line of the journal half written: nothing was told then.

    Raises AblateError for a line that is no JSON anywhere else.
    """
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
    for number, line in enumerate(data[:whole].splitlines(), 1):
        try:
            json.loads(line)
        except ValueError as error:
            raise AblateError(f"{path}:{number}: no line of a journal ({error}); take it out to go on") from error


def counted(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count against the budget: duplicates cost nothing and do not, nor do points not yet taken up."""
    return [t for t in trials if t.state != TrialState.WAITING and "duplicate_of" not in t.user_attrs]
