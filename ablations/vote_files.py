"""Votes as files: a ballot for an outside rating service, its answers, and votes as CSV."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from ablations.artifacts import Store
from ablations.errors import AblateError, nearest
from ablations.plan import plan
from ablations.spec import Spec, load
from ablations.votes import (
    COLUMNS,
    QUESTIONS,
    held_log,
    log_path,
    present_samples,
    read_clip,
    subject_of,
    votes_table,
)
from bench.preference.clips import Clips
from bench.preference.ledger import Ledger, Task, replayed
from bench.preference.log import read_log
from bench.preference.pairing import Samples
from bench.preference.poll import Poll
from bench.preference.server import SCORES
from bench.preference.table import checked_rows


def write_ballot(name: str, scale: str, out: Path, pairs: int) -> int:
    """
    Write pairs to be rated elsewhere: `ballot.csv` (pair, prompt, left_clip, right_clip) and its clips, arms unnamed.

    One pair in ten is an attention check. Which arms a pair shows stays in the votes' log, where the answers find it.
    Returns the number of pairs: fewer than asked for where there are no more. Raises AblateError for a used folder.
    """
    spec, store = load(name, scale), Store()
    graph = plan(spec)
    subject = subject_of(spec, graph, store, QUESTIONS)
    if out.exists() and any(out.iterdir()):
        raise AblateError(f"{out} is not empty; a ballot needs a folder of its own")
    out.mkdir(parents=True, exist_ok=True)
    clips, rows = Clips(partial(read_clip, graph, store), out), []
    with held_log(spec, store) as log:
        for task in Poll(subject, log, pairs, "balance").ballot(pairs):
            files = [clips.path(side, task.seed, task.clip or 0).name for side in (task.left, task.right)]
            rows.append((task.task, task.prompt, *files))
        log.sync()
    pl.DataFrame(rows, schema=["pair", "prompt", "left_clip", "right_clip"], orient="row").write_csv(out / "ballot.csv")
    return len(rows)


def named(table: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """Answers to a ballot with the arms and scores they stand for; any other table as it is."""
    if "pair" not in table.columns:
        return table
    rows = []
    for number, row in enumerate(table.to_dicts()):
        task, score = ledger.tasks.get(row["pair"]), SCORES.get(row.get("answer") or "")
        if task is None:
            raise ValueError(f"row {number}: no ballot of this spec has the pair {row['pair']!r}")
        if score is None:
            raise ValueError(f"row {number}: answer is {row.get('answer')!r}; expected {', '.join(SCORES)}")
        known = {key: value for key, value in asdict(task).items() if key in COLUMNS and value is not None}
        facts = {key: str(value) for key, value in known.items() if key not in ("rater", "task")}
        rows.append({**dict.fromkeys(COLUMNS), **facts, **row, "score": str(score)})
    return pl.DataFrame(rows, infer_schema_length=None)


def export_votes(name: str, scale: str, out: Path) -> int:
    """Write all votes on a spec as CSV; returns their number."""
    votes = votes_table(load(name, scale), Store())
    out.parent.mkdir(parents=True, exist_ok=True)
    votes.write_csv(out)
    return votes.height


def import_votes(name: str, scale: str, path: Path) -> tuple[int, int]:
    """
    Take votes from a CSV file: `left, right, score` and, as far as known, the other columns of an export.

    A file that answers a ballot has `pair` and `answer` (left, right or tie) instead of arms and score.
    Returns how many were taken, and how many were there already: the same file twice counts once. Votes that do not say
    which samples they are on count as votes on the present ones. Nothing is taken from a file with a wrong row.
    """
    spec, store = load(name, scale), Store()
    samples = present_samples(plan(spec), store)
    try:
        table = named(pl.read_csv(path, infer_schema=False), replayed(read_log(log_path(spec, store))))
        rows, tasks, twins = checked_rows(table), [], Counter[str]()
        for row, more in zip(rows, table.to_dicts(), strict=True):
            identity = json.dumps([more.get(name) for name in COLUMNS])
            tasks.append(task_of(row, more, spec, samples, f"{identity}/{twins[identity]}"))
            twins[identity] += 1  # equal rows of one file are votes of people whom it does not tell apart
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise AblateError(f"{path}: {error}") from error
    with held_log(spec, store) as log:
        ledger, taken = replayed(log.events), 0
        for task, row in zip(tasks, rows, strict=True):
            if (task.task, row["question"]) in ledger.answers:
                continue
            events: list[dict[str, Any]] = [] if task.task in ledger.tasks else [{"event": "shown", **asdict(task)}]
            events.append({"event": "vote", "task": task.task, "question": row["question"], "score": row["score"]})
            for event in events:
                log.append(event)
                ledger.apply(event)
            taken += 1
        log.sync()
    return taken, len(rows) - taken


def task_of(row: dict[str, Any], more: dict[str, Any], spec: Spec, samples: Samples, identity: str) -> Task:
    """A row of a file as a pair that was shown. Raises ValueError for an arm that the spec does not have."""
    sides = (row["left"], row["right"])
    for arm in sides if row["expected"] is None else ():
        if arm not in spec.arms:
            raise ValueError(f"unknown arm {arm!r} of {spec.name}; {nearest(arm, list(spec.arms))}")
    seed, clip = (int(more[name]) if more.get(name) else None for name in ("seed", "clip"))
    left, right = (sample_of(arm, seed, samples) for arm in sides)
    left, right = more.get("left_sample") or left, more.get("right_sample") or right
    name = more.get("task") or "file-" + hashlib.blake2b(identity.encode(), digest_size=8).hexdigest()
    return Task(name, row["rater"], *sides, row["prompt"], clip, seed, left, right, row["expected"], from_file=True)


def sample_of(arm: str, seed: int | None, samples: Samples) -> str | None:
    """The present samples of an arm, of any seed if none is told."""
    return next((key for (a, s), key in samples.items() if a == arm and seed in (None, s)), None)
