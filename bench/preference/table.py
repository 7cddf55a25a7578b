"""
Votes as a table: two arms were shown, and one was preferred.

Columns `left` and `right` (names of arms) and `score` (1 left wins, 0 right wins, 0.5 a tie); optional `prompt`,
`question` and `rater`; and, for attention checks, `expected`: the score that an attentive rater gives, null in real
votes. Any table will do whose columns are found by name: a polars or pandas DataFrame, or a mapping of lists.
"""

from collections import defaultdict
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.intp]
Floats = NDArray[np.float64]

COLUMNS = ("left", "right", "score", "prompt", "question", "rater", "expected")
ATTENTIVE = 0.8
"""Share of the attention checks that a rater must answer as expected."""


@dataclass(frozen=True)
class Inattentive:
    """A rater whose votes are left out, who answered only `right` of `checks` attention checks as expected."""

    rater: str
    right: int
    checks: int


@dataclass(frozen=True)
class Votes:
    """
    Real votes of attentive raters, in an order that does not depend on the table's.

    `left`, `right`, `prompt`, `question` and `rater` are (V,) indices into `arms`, `prompts`, `questions` and `raters`;
    `score` (V,) is the left arm's. Pairs are turned so that `left < right`. `inattentive` were left out, with `checks`.
    """

    arms: tuple[str, ...]
    prompts: tuple[str, ...]
    questions: tuple[str, ...]
    raters: tuple[str, ...]
    left: Ints
    right: Ints
    score: Floats
    prompt: Ints
    question: Ints
    rater: Ints
    inattentive: tuple[Inattentive, ...] = ()

    def __len__(self) -> int:
        return len(self.score)


def read_votes(table: Any) -> Votes:
    """
    The real votes in a table: without attention checks, and without the raters who failed them.

    A rater fails who answers less than four in five of their checks as expected. Raises ValueError, naming the row
    (from 0), for missing columns, scores other than 0, 0.5 and 1, nameless arms, an arm against itself, and no votes.
    """
    rows = checked_rows(table)
    inattentive = _inattentive(rows)
    out = {entry.rater for entry in inattentive}
    kept = [row for row in rows if row["expected"] is None and row["rater"] not in out]
    if not kept:
        raise ValueError(f"no votes are left of {len(rows)} rows: the others are checks or of raters who failed them")
    turned = sorted(_turned(row) for row in kept)
    columns = list(zip(*turned, strict=True))
    arms = tuple(sorted({*columns[3], *columns[4]}))
    (questions, question), (prompts, prompt), (raters, rater) = (_coded(column) for column in columns[:3])
    place = {arm: number for number, arm in enumerate(arms)}
    left, right = (np.array([place[arm] for arm in column], dtype=np.intp) for column in columns[3:5])
    score = np.array(columns[5], dtype=np.float64)
    return Votes(arms, prompts, questions, raters, left, right, score, prompt, question, rater, inattentive)


def checked_rows(table: Any) -> list[dict[str, Any]]:
    """
    Every row of a table of votes as a dictionary: `left`, `right`, `score`, `expected` (or None), and `prompt`,
    `question` and `rater`, empty where the table does not tell. Raises ValueError as `read_votes` does.
    """
    names = list(getattr(table, "columns", table))
    lacking = [name for name in ("left", "right", "score") if name not in names]
    if lacking:
        raise ValueError(f"votes need the columns left, right and score; {', '.join(lacking)} missing among {names}")
    columns = {name: list(table[name]) for name in names if name in COLUMNS}
    every = zip(*columns.values(), strict=True)
    return [_checked_row(dict(zip(columns, values, strict=True)), number) for number, values in enumerate(every)]


def _checked_row(row: dict[str, Any], number: int) -> dict[str, Any]:
    for name in ("left", "right"):
        if _null(row[name]) or str(row[name]) == "":
            raise ValueError(f"row {number}: {name} names no arm")
    if str(row["left"]) == str(row["right"]):
        raise ValueError(f"row {number}: {row['left']!r} stands on both sides")
    texts = {name: "" if _null(row.get(name)) else str(row[name]) for name in ("prompt", "question", "rater")}
    expected = None if _null(row.get("expected")) else _score(row["expected"], "expected", number)
    score = _score(row["score"], "score", number)
    return {"left": str(row["left"]), "right": str(row["right"]), "score": score, **texts, "expected": expected}


def _null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and isnan(value)) or str(value) == "<NA>"  # as pandas has it


def _score(value: Any, name: str, number: int) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError):
        score = float("nan")
    if score not in (0.0, 0.5, 1.0):
        raise ValueError(f"row {number}: {name} is {value!r}; expected 1 (left wins), 0 (right wins) or 0.5 (a tie)")
    return score


def _inattentive(rows: list[dict[str, Any]]) -> tuple[Inattentive, ...]:
    answers: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        if row["expected"] is not None:
            answers[row["rater"]].append(row["score"] == row["expected"])
    return tuple(
        Inattentive(rater, sum(right), len(right))
        for rater, right in sorted(answers.items())
        if sum(right) < ATTENTIVE * len(right)
    )


def _turned(row: dict[str, Any]) -> tuple[str, str, str, str, str, float]:
    """Question, prompt, rater, the arms in alphabetical order, and the first arm's score."""
    left, right, score = row["left"], row["right"], row["score"]
    if left > right:
        left, right, score = right, left, 1 - score
    return row["question"], row["prompt"], row["rater"], left, right, score


def _coded(values: tuple[str, ...]) -> tuple[tuple[str, ...], Ints]:
    names, codes = np.unique(np.array(values, dtype=object), return_inverse=True)
    return tuple(map(str, names)), codes.astype(np.intp)
