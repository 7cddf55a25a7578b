"""What the events of a poll add up to: pairs that were shown, and the answers that stand."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from bench.preference.log import Event

REAL, DAMAGED = "real clip", "damaged clip"
"""The two sides of an attention check."""


@dataclass(frozen=True)
class Task:
    """
    One pair shown to one rater: two arms' clips number `clip` of run `seed`, made by the artifacts `*_sample`.

    `expected` is the score that an attention check has to get; null for real pairs. Votes that came from a file have
    no clip, and `from_file` is true.
    """

    task: str
    rater: str
    left: str
    right: str
    prompt: str
    clip: int | None = None
    seed: int | None = None
    left_sample: str | None = None
    right_sample: str | None = None
    expected: float | None = None
    from_file: bool = False


@dataclass
class Ledger:
    """Tasks by id, standing answers by (task, question), and what choosing the next pair needs to know of them."""

    tasks: dict[str, Task] = field(default_factory=dict)
    answers: dict[tuple[str, str], float] = field(default_factory=dict)
    by_rater: defaultdict[str, list[Task]] = field(default_factory=lambda: defaultdict(list))
    shown: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    wins: defaultdict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))

    def apply(self, event: Event) -> None:
        """Take one event into account. Raises ValueError for one that makes no sense here."""
        match event.get("event"):
            case "shown":
                self._show(Task(**{f.name: event[f.name] for f in fields(Task) if f.name in event}))
            case "vote":
                self.answers[event["task"], event["question"]] = float(event["score"])
                self._count(self.tasks[event["task"]], float(event["score"]), 1)
            case "undo":
                score = self.answers.pop((event["task"], event["question"]))
                self._count(self.tasks[event["task"]], score, -1)
            case kind:
                raise ValueError(f"unknown event {kind!r}")

    def _show(self, task: Task) -> None:
        self.tasks[task.task] = task
        if not task.from_file:
            self.by_rater[task.rater].append(task)
        if task.expected is None:
            pair = (min(task.left, task.right), max(task.left, task.right))
            self.shown.update(
                [pair, (*pair, task.clip), (*pair, task.clip, task.seed), ("left", task.left, task.right)]
            )

    def _count(self, task: Task, score: float, sign: int) -> None:
        if task.expected is None:
            self.wins[task.left, task.right] += sign * score
            self.wins[task.right, task.left] += sign * (1 - score)

    def rows(self) -> list[dict[str, Any]]:
        """One row a standing answer, in the order of the answers: a table for `bench.preference.read_votes`."""
        rows = []
        for (task, question), score in self.answers.items():
            t = self.tasks[task]
            facts = {"left": t.left, "right": t.right, "score": score, "prompt": t.prompt, "question": question}
            facts |= {"rater": t.rater, "expected": t.expected, "clip": t.clip, "seed": t.seed, "task": task}
            rows.append({**facts, "left_sample": t.left_sample, "right_sample": t.right_sample})
        return rows


def replayed(events: Iterable[Event], samples: Collection[str] | None = None) -> Ledger:
    """The ledger of a log's events; with `samples`, only of attention checks and of pairs of those artifacts."""
    ledger = Ledger()
    for event in events:
        shown = event.get("event") == "shown"
        real = shown and event.get("expected") is None and samples is not None
        if real and not {event.get("left_sample"), event.get("right_sample")} <= set(samples or ()):
            continue
        if shown or event["task"] in ledger.tasks:
            ledger.apply(event)
    return ledger
