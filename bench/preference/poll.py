"""A poll while it runs: which pair and question each rater is at, what they answered, and what they took back."""

import secrets
from dataclasses import asdict, dataclass

import numpy as np

from bench.preference.ledger import DAMAGED, REAL, Task, replayed
from bench.preference.log import Event, Log
from bench.preference.pairing import Choose, Samples, next_pair

CHECK_EVERY = 10
"""One pair in so many is an attention check, at a place that is drawn."""


@dataclass(frozen=True)
class Subject:
    """What is voted on. `prompts` are those of the clips, in order, the same in every run; the first `checks` of them
    have a real clip too, for attention checks.
    """

    samples: Samples
    prompts: tuple[str, ...]
    questions: tuple[str, ...]
    checks: int = 0


class Poll:
    """The state of a log's events, and the only writer of new ones."""

    def __init__(self, subject: Subject, log: Log, pairs_per_rater: int, choose: Choose) -> None:
        self.subject, self.log, self.pairs_per_rater, self.choose = subject, log, pairs_per_rater, choose
        self.ledger = replayed(log.events, set(subject.samples.values()))
        self.draws = np.random.default_rng()  # not seeded: nobody shall foresee sides

    def answered(self, rater: str) -> int:
        """Answers of a rater that stand."""
        mine = self.ledger.by_rater[rater]
        return sum((task.task, question) in self.ledger.answers for task in mine for question in self.subject.questions)

    def current(self, rater: str) -> tuple[Task, str] | None:
        """The pair and question that a rater is to answer, a new pair if all are answered; null at the end."""
        mine = self.ledger.by_rater[rater]
        for task in mine:
            for question in self.subject.questions:
                if (task.task, question) not in self.ledger.answers:
                    return task, question
        new = self._new(rater) if len(mine) < self.pairs_per_rater else None
        if new is None:
            return None
        self._record({"event": "shown", **asdict(new)})
        return new, self.subject.questions[0]

    def ballot(self, pairs: int) -> list[Task]:
        """Pairs to be rated elsewhere, as shown to nobody (rater ""): at most so many."""
        tasks: list[Task] = []
        while len(tasks) < pairs and (task := self._new("")) is not None:
            self._record({"event": "shown", **asdict(task)})
            tasks.append(task)
        return tasks

    def vote(self, rater: str, task: str, question: str, score: float) -> None:
        """Record an answer. One that is there already stands: the same request twice is one vote."""
        if not self._answered(rater, task, question):
            self._record({"event": "vote", "task": task, "question": question, "score": score})

    def undo(self, rater: str, task: str, question: str) -> None:
        """Take back an answer, if it is there."""
        if self._answered(rater, task, question):
            self._record({"event": "undo", "task": task, "question": question})

    def last(self, rater: str) -> tuple[str, str] | None:
        """Task and question of the rater's last answer, which is the one to take back."""
        for task in reversed(self.ledger.by_rater[rater]):
            for question in reversed(self.subject.questions):
                if (task.task, question) in self.ledger.answers:
                    return task.task, question
        return None

    def _answered(self, rater: str, task: str, question: str) -> bool:
        """Whether the answer is there. Raises KeyError for a question, or a rater's pair, that there is not."""
        known = self.ledger.tasks.get(task)
        if known is None or known.rater != rater or question not in self.subject.questions:
            raise KeyError("no such question was asked of this rater")
        return (task, question) in self.ledger.answers

    def _record(self, event: Event) -> None:
        self.log.append(event)
        self.ledger.apply(event)

    def _new(self, rater: str) -> Task | None:
        """The next pair for a rater: an attention check now and then, null if the rater has seen all there is."""
        subject, name = self.subject, secrets.token_hex(8)
        pair = next_pair(subject.samples, len(subject.prompts), self.ledger, rater, self.choose, self.draws)
        if pair is None:
            return None
        if subject.checks and self._check_is_due(rater):
            clip = int(self.draws.integers(subject.checks))
            left = bool(self.draws.random() < 0.5)
            sides = (REAL, DAMAGED) if left else (DAMAGED, REAL)
            return Task(name, rater, *sides, subject.prompts[clip], clip, expected=float(left))
        made = (subject.samples[pair.left, pair.seed], subject.samples[pair.right, pair.seed])
        return Task(name, rater, pair.left, pair.right, subject.prompts[pair.clip], pair.clip, pair.seed, *made)

    def _check_is_due(self, rater: str) -> bool:
        """One in every block of ten pairs, each place in it equally likely."""
        mine = self.ledger.by_rater[rater]
        place = len(mine) % CHECK_EVERY
        checked = any(task.expected is not None for task in mine[len(mine) - place :])
        return not checked and bool(self.draws.random() < 1 / (CHECK_EVERY - place))
