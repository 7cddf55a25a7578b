"""
The one controller: it asks for trials, has their stages made, and tells what came out. Nothing else writes the journal.

All that it knows is in the journal and the store, so that it can be killed at any moment: a trial that the journal
calls RUNNING is taken up again, and what the store holds is told before anything new is asked.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from ablations.artifacts import Store, read_json
from ablations.errors import AblateError, RunError
from ablations.failures import PASSING
from ablations.launch import Outcome
from ablations.plan import Graph
from ablations.search.candidate import Candidate, Unmeasured, means, union
from ablations.search.journal import counted
from ablations.search.parameters import suggest
from ablations.search.study import Study

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

MOST_DUPLICATES = 50
"""So many duplicates in a row mean that the sampler has nothing new to propose."""


class Halted(RunError):
    """A trial was stopped by what says nothing of its point: a full disk or memory, a killed process."""


KEPT_SHARE = "kept_share"
"""Optuna's constraint: how far the kept share lies outside its bounds; 0 and less is inside."""


class Controller:
    """Runs a study. `make` makes the missing stages of a graph, `say` tells the user one line."""

    def __init__(
        self,
        study: Study,
        journal: optuna.Study,
        store: Store,
        make: Callable[[Graph], Outcome],
        say: Callable[[str], None],
    ) -> None:
        self.study, self.journal, self.store, self.make, self.say = study, journal, store, make, say
        self.journal.pruner = pruner(study)
        self.duplicates = 0

    def run(self, trials: int) -> None:
        """Go on until `trials` trials have ended, duplicates not counted."""
        outcome = Outcome()
        while True:
            waiting: list[tuple[Trial, Candidate]] = []
            for frozen in self.journal.get_trials(states=(TrialState.RUNNING,)):
                self.settle(Trial(self.journal, frozen._trial_id), outcome, waiting)
            while len(waiting) < self.study.file.parallel and self.may_ask(trials):
                self.settle(self.ask(), outcome, waiting)
            if not waiting:
                break
            parts = [c.part(self.needed(trial, c), f"trial {trial.number}") for trial, c in waiting]
            outcome = self.make(union(parts))
        if self.duplicates >= MOST_DUPLICATES:
            self.say(f"stopped early: the last {self.duplicates} points proposed had all been tried")

    def may_ask(self, trials: int) -> bool:
        """Whether the budget, and what is left of the space, allow another trial."""
        return len(counted(self.journal.get_trials(deepcopy=False))) < trials and self.duplicates < MOST_DUPLICATES

    def ask(self) -> Trial:
        """A new trial, or one that waits in the journal."""
        trials = self.journal.get_trials(deepcopy=False)
        self.journal.sampler = sampler(self.study, len(trials))
        return self.journal.ask()

    def settle(self, trial: Trial, outcome: Outcome, waiting: list[tuple[Trial, Candidate]]) -> None:
        """Tell what the store and the last outcome know of a trial; if that does not end it, it joins `waiting`."""
        point = {name: suggest(trial, name, parameter) for name, parameter in self.study.file.parameters.items()}
        try:
            candidate = Candidate.of(self.study, point)
            note(trial, "fingerprints", candidate.identity)
            twin = self.twin(trial, candidate)
            self.duplicates = 0 if twin is None else self.duplicates + 1
            if not (self.advance(trial, candidate, outcome) if twin is None else self.follow(trial, twin)):
                waiting.append((trial, candidate))
        except Halted:
            raise
        except (AblateError, Unmeasured) as error:
            self.end(trial, TrialState.FAIL, reason=str(error).partition("\n")[0])

    def twin(self, trial: Trial, candidate: Candidate) -> FrozenTrial | None:
        """An earlier trial that is the same experiment."""
        earlier = self.journal.get_trials(deepcopy=False)[: trial.number]
        return next((t for t in earlier if t.user_attrs.get("fingerprints") == candidate.identity), None)

    def follow(self, trial: Trial, twin: FrozenTrial) -> bool:
        """End a duplicate as its twin has ended; false while the twin has not."""
        note(trial, "duplicate_of", twin.number)
        if not twin.state.is_finished():
            return False
        for name in twin.constraints.keys() - trial.constraints.keys():
            trial.set_constraint(name, twin.constraints[name])
        for name in twin.user_attrs.keys() & {"kept_share", "by_seed"}:
            note(trial, name, twin.user_attrs[name])
        values = twin.values if twin.state == TrialState.COMPLETE else None
        self.end(trial, twin.state, values=values, reason=twin.user_attrs.get("reason"))
        return True

    def needed(self, trial: Trial, candidate: Candidate) -> list[str]:
        """The artifacts that the trial's next step reads."""
        return candidate.keys(self.rung(trial)) if self.admitted(trial) else candidate.subset_keys()

    def admitted(self, trial: Trial) -> bool:
        """Whether the point is known to keep as many clips as it must."""
        return self.study.file.kept_share is None or trial.constraints.get(KEPT_SHARE, 1.0) <= 0

    def rung(self, trial: Trial) -> int:
        """The rung that the trial stands before."""
        return len(self.journal.get_trials(deepcopy=False)[trial.number].intermediate_values)

    def advance(self, trial: Trial, candidate: Candidate, outcome: Outcome) -> bool:
        """Take every step whose artifacts are there; whether the trial has ended."""
        while True:
            keys = self.needed(trial, candidate)
            if failed := [key for key in outcome.failed if key in candidate.graph.closure(keys)]:
                reason, log = outcome.failed[failed[0]]
                if passing(self.store, failed[0]):
                    raise Halted(
                        f"{failed[0]} failed for a cause that may pass: {reason} (log: {log}); "
                        f"trial {trial.number} is kept, and the same command goes on with it"
                    )
                raise Unmeasured(f"{failed[0]} failed: {reason} (log: {log})")
            if not all(self.store.has(key) for key in keys):
                return False
            if (self.score if self.admitted(trial) else self.admit)(trial, candidate):
                return True

    def admit(self, trial: Trial, candidate: Candidate) -> bool:
        """Hold the point against the bounds on its kept share, before anything is trained on it."""
        bounds, share = self.study.file.kept_share, candidate.kept_share(self.store)
        assert bounds is not None  # noqa: S101  (admitted() is true where there are none)
        note(trial, "kept_share", share)
        if KEPT_SHARE not in trial.constraints:
            trial.set_constraint(KEPT_SHARE, max(bounds.min - share, share - bounds.max))
        if bounds.min <= share <= bounds.max:
            return False
        reason = f"keeps {share:.3f} of all clips, not {bounds.min:g} to {bounds.max:g}"
        self.end(trial, TrialState.PRUNED, reason=reason)
        return True

    def score(self, trial: Trial, candidate: Candidate) -> bool:
        """Tell one rung's values, the last rung's as the trial's own; whether the trial has ended."""
        rung = self.rung(trial)
        values = candidate.values(self.store, rung)
        note(trial, "by_seed", values)
        note(trial, "samples", self.study.rungs[rung])
        if rung == len(self.study.rungs) - 1:
            self.end(trial, TrialState.COMPLETE, values=means(values))
            return True
        trial.report(means(values)[0], self.study.rungs[rung])
        if not trial.should_prune():  # killed just here, a trial that was to be pruned goes on to the next rung
            return False
        self.end(trial, TrialState.PRUNED, reason=f"not among the best after {self.study.rungs[rung]} samples")
        return True

    def end(
        self, trial: Trial, state: TrialState, *, values: list[float] | None = None, reason: str | None = None
    ) -> None:
        """Tell the end of a trial, with its reason unless it is complete."""
        if reason:
            note(trial, "reason", reason)
        self.journal.tell(trial.number, values, state=state)
        found = ", ".join(
            f"{objective} {value:.4g}"
            for objective, value in zip(self.study.file.objectives, values or [], strict=bool(values))
        )
        self.say(f"trial {trial.number}: {found or f'{state.name.lower()}: {reason}'}")


def passing(store: Store, key: str) -> bool:
    """Whether a stage that failed may go well another time, by its own account; a killed one gave none."""
    status = read_json(store.root / "status" / f"{key}.json", missing={})
    return status.get("state") != "failed" or status.get("kind") in PASSING


def note(trial: Trial, name: str, value: Any) -> None:
    """Keep a fact about a trial, unless an earlier controller has."""
    if trial.user_attrs.get(name) != value:
        trial.set_user_attr(name, value)


def sampler(study: Study, number: int) -> "BaseSampler":
    """The sampler of one trial, seeded by the trial's number: a restarted controller proposes what it would have."""
    seed = int(np.random.SeedSequence([study.file.sampler_seed, number]).generate_state(1)[0])
    if study.file.sampler == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=study.file.population, seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def pruner(study: Study) -> "BasePruner":
    """Asynchronous successive halving over the study's rungs, or nothing."""
    if study.file.pruner is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=study.rungs[0], reduction_factor=study.file.pruner.factor
    )
