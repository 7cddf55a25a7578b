from collections import Counter

import numpy as np
import pytest
from voting import ARMS, QUESTIONS, SEEDS, subject

from bench.preference import read_votes
from bench.preference.ledger import DAMAGED, REAL, replayed
from bench.preference.log import Log, read_log
from bench.preference.pairing import information
from bench.preference.poll import Poll


def answer_all(poll, rater, score=1.0, most=10_000):
    """Answer until the end, or `most` times; returns the tasks shown."""
    shown = []
    while most and (now := poll.current(rater)):
        task, question = now
        poll.vote(rater, task.task, question, score)
        shown.append(task)
        most -= 1
    return shown


def test_pairs_clips_seeds_and_sides_are_balanced(log):
    poll = Poll(subject(), log, 48, "balance")
    for rater in ("one", "two", "three"):
        answer_all(poll, rater)
    real = [task for task in poll.ledger.tasks.values() if task.expected is None]
    pairs = Counter(frozenset((task.left, task.right)) for task in real)
    assert len(pairs) == 3
    for counts in (
        pairs,
        Counter((frozenset((task.left, task.right)), task.clip) for task in real),
        Counter((frozenset((task.left, task.right)), task.clip, task.seed) for task in real),
    ):
        assert max(counts.values()) - min(counts.values()) <= 1
    for pair in pairs:
        one = min(pair)
        lead = sum(1 if task.left == one else -1 for task in real if {task.left, task.right} == pair)
        assert abs(lead) <= 1


def test_a_rater_sees_nothing_twice_and_stops_when_all_is_seen(log, monkeypatch):
    poll = Poll(subject(clips=2), log, 1000, "balance")
    shown = {task.task: task for task in answer_all(poll, "one")}.values()
    real = [(frozenset((t.left, t.right)), t.clip, t.seed) for t in shown if t.expected is None]
    assert len(real) == len(set(real)) == 3 * 2 * len(SEEDS)
    monkeypatch.setattr(poll, "_check_is_due", lambda rater: True)
    assert poll.current("one") is None  # no check either, however often the page is loaded


def test_one_pair_in_ten_is_a_check_with_a_known_answer(log):
    poll = Poll(subject(), log, 40, "balance")
    tasks = list(dict.fromkeys(answer_all(poll, "one")))
    places = [place for place, task in enumerate(tasks) if task.expected is not None]
    assert [place // 10 for place in places] == [0, 1, 2, 3]
    for place in places:
        assert (tasks[place].left, tasks[place].expected) in ((REAL, 1), (DAMAGED, 0))
    rows = poll.ledger.rows()
    table = {name: [row[name] for row in rows] for name in rows[0]}
    everyone = [f"rater {number}" for number in range(len(rows))]  # so that nobody has failed a check
    assert set(read_votes({**table, "rater": everyone}).arms) <= set(ARMS)
    assert REAL in read_votes({**table, "expected": [None] * len(rows)}).arms


def test_the_same_answer_twice_is_one_vote(poll):
    task, question = poll.current("one")
    poll.vote("one", task.task, question, 1.0)
    poll.vote("one", task.task, question, 0.0)
    assert [(row["task"], row["score"]) for row in poll.ledger.rows()] == [(task.task, 1.0)]


def test_undo_goes_back_any_number_of_answers(poll):
    answer_all(poll, "one", most=5)
    before = [(row["task"], row["question"]) for row in poll.ledger.rows()]
    for expected in reversed(before):
        last = poll.last("one")
        assert last == expected
        poll.undo("one", *last)
        poll.undo("one", *last)  # the same request twice
        assert (poll.current("one")[0].task, poll.current("one")[1]) == expected
    assert poll.last("one") is None
    assert poll.ledger.rows() == []
    assert not any(poll.ledger.wins.values())


def test_nobody_answers_for_another(poll):
    task, question = poll.current("one")
    for rater, name, asked in (("two", task.task, question), ("one", "other", question), ("one", task.task, "beauty")):
        with pytest.raises(KeyError):
            poll.vote(rater, name, asked, 1.0)


def test_a_restarted_poll_stands_where_it_stood(poll):
    answer_all(poll, "one", most=7)
    now = poll.current("one")
    rows, path = poll.ledger.rows(), poll.log.path
    poll.log.close()
    again = Poll(subject(), Log(path), 20, "balance")
    assert again.current("one") == now
    assert again.ledger.rows() == rows
    assert replayed(read_log(path)).rows() == rows
    again.log.close()


def test_votes_on_old_samples_are_kept_but_not_counted(poll):
    answer_all(poll, "one", most=6)
    path, old = poll.log.path, len(poll.ledger.rows())
    poll.log.close()
    new = subject()
    new.samples.update({run: f"new-{key}" for run, key in new.samples.items()})
    again = Poll(new, Log(path), 20, "balance")
    assert all(task.expected is not None for task in again.ledger.tasks.values())
    assert len(replayed(read_log(path)).rows()) == old
    again.log.close()


def test_information_asks_where_least_is_known(log):
    poll = Poll(subject(), log, 200, "information")
    assert np.isfinite(information(sorted(ARMS), poll.ledger)).all()
    for _ in range(30):  # filtered always wins, the other two are alike
        task, question = poll.current("one")
        while poll.current("one") and poll.current("one")[0].task == task.task:
            _, question = poll.current("one")
            score = 0.5 if "filtered" not in (task.left, task.right) else float(task.left == "filtered")
            poll.vote("one", task.task, question, score if task.expected is None else task.expected)
    gain = information(sorted(ARMS), poll.ledger)
    order = sorted(ARMS)
    alike = gain[order.index("same_size_random"), order.index("unfiltered")]
    assert alike > gain[order.index("filtered"), order.index("unfiltered")] / 2
    counts = Counter(frozenset((t.left, t.right)) for t in poll.ledger.tasks.values() if t.expected is None)
    assert counts[frozenset(("same_size_random", "unfiltered"))] >= max(counts.values()) - 1


def test_two_raters_at_once_are_shown_different_pairs(poll):
    one, two = (poll.current(rater)[0] for rater in ("one", "two"))
    if one.expected is None and two.expected is None:
        assert {one.left, one.right} != {two.left, two.right}
    assert one.task != two.task
    assert set(QUESTIONS) == set(poll.subject.questions)
