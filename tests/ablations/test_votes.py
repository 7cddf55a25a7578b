import json

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from ablations.artifacts import Store, write_json
from ablations.errors import AblateError
from ablations.plan import plan
from ablations.report.collect import ballots
from ablations.spec import load
from ablations.vote_files import export_votes, import_votes, write_ballot
from ablations.votes import (
    QUESTIONS,
    log_path,
    on_present_samples,
    read_clip,
    subject_of,
    token_of,
    votes_table,
)
from bench.preference.ledger import REAL
from bench.preference.log import Log
from bench.preference.poll import Poll

CLIPS = 4


def artifact(store, key, files):
    folder = store.artifact(key)
    folder.mkdir(parents=True)
    for name, content in files.items():
        if name.endswith(".json"):
            (folder / name).write_text(json.dumps(content))
        else:
            save_file({"videos": content}, folder / name)
    write_json(folder / "manifest.json", {})


@pytest.fixture
def spec():
    return load("data_curation", "smoke")


@pytest.fixture
def graph(spec):
    return plan(spec)


@pytest.fixture
def store(graph, tmp_path, monkeypatch):
    """A store with clips of every run, each of one grey level, and of the reference."""
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    store = Store()
    prompts = [{"prompt": f"a square, take {n}", "fps": 8} for n in range(CLIPS)]
    for level, roles in enumerate(graph.runs.values()):
        videos = np.full((CLIPS, 10, 3, 32, 32), 20 * level, np.uint8)
        artifact(store, roles["sample"], {"videos.safetensors": videos, "prompts.json": prompts})
    artifact(store, roles["reference"], {"clips.safetensors": np.full((CLIPS, 10, 3, 32, 32), 255, np.uint8)})
    return store


@pytest.fixture
def voted(spec, graph, store):
    """A rater has answered everything of eight pairs."""
    log = Log(log_path(spec, store))
    poll = Poll(subject_of(spec, graph, store, QUESTIONS), log, 8, "balance")
    while now := poll.current("Ann"):
        task, question = now
        poll.vote("Ann", task.task, question, 1.0 if task.expected is None else task.expected)
    log.close()
    return store


def test_what_is_voted_on(spec, graph, store):
    subject = subject_of(spec, graph, store, QUESTIONS)
    assert set(subject.samples) == set(graph.runs)
    assert subject.prompts == tuple(f"a square, take {n}" for n in range(CLIPS))
    assert subject.checks == CLIPS
    frames, fps = read_clip(graph, store, "filtered", 1, 2)
    assert (fps, frames.shape, set(frames.ravel())) == (
        8,
        (10, 3, 32, 32),
        {20 * list(graph.runs).index(("filtered", 1))},
    )
    assert set(read_clip(graph, store, REAL, None, 0)[0].ravel()) == {255}


def test_nothing_to_vote_on_is_said(spec, graph, tmp_path):
    with pytest.raises(AblateError, match="has no clips of two arms at scale smoke"):
        subject_of(spec, graph, Store(tmp_path / "empty"), QUESTIONS)


def test_other_prompts_share_no_pair(spec, graph, store):
    key = graph.runs["filtered", 1]["sample"]
    (store.artifact(key) / "prompts.json").write_text(json.dumps([{"prompt": "another", "fps": 8}] * CLIPS))
    with pytest.raises(AblateError, match=r"\('filtered', 1\) were sampled with other prompts"):
        subject_of(spec, graph, store, QUESTIONS)


def test_votes_travel_through_a_file_and_count_once(spec, voted, tmp_path, monkeypatch):
    assert export_votes("data_curation", "smoke", tmp_path / "votes.csv") == 16
    assert import_votes("data_curation", "smoke", tmp_path / "votes.csv") == (0, 16)
    here = votes_table(spec, voted)
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "other"))
    assert import_votes("data_curation", "smoke", tmp_path / "votes.csv") == (16, 0)
    assert import_votes("data_curation", "smoke", tmp_path / "votes.csv") == (0, 16)
    assert votes_table(spec, Store()).equals(here)


def test_a_rating_services_file_needs_three_columns(spec, graph, store, tmp_path):
    rows = "left,right,score\n" + "filtered,unfiltered,1\n" * 3 + "unfiltered,filtered,0.5\n"
    (tmp_path / "service.csv").write_text(rows)
    assert import_votes("data_curation", "smoke", tmp_path / "service.csv") == (4, 0)  # equal rows are other people's
    assert import_votes("data_curation", "smoke", tmp_path / "service.csv") == (0, 4)
    table = votes_table(spec, store)
    assert table["score"].to_list() == [1.0, 1.0, 1.0, 0.5]
    assert on_present_samples(table, graph, store).height == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "left,right,score\nfiltered,unfilterd,1\n",
            "unknown arm 'unfilterd' of data_curation; did you mean 'unfiltered'",
        ),
        ("left,right,score\nfiltered,unfiltered,1\nfiltered,unfiltered,7\n", "row 1: score is '7'"),
        ("left,right\nfiltered,unfiltered\n", "score missing"),
        ("left,right,score,seed\nfiltered,unfiltered,1,x\n", "invalid literal"),
        ("", "service.csv: "),
    ],
)
def test_nothing_is_taken_from_a_wrong_file(spec, store, tmp_path, text, message):
    (tmp_path / "service.csv").write_text(text)
    with pytest.raises(AblateError, match=message):
        import_votes("data_curation", "smoke", tmp_path / "service.csv")
    assert votes_table(spec, store).is_empty()


def test_votes_on_replaced_samples_are_told_apart(spec, graph, voted):
    whole = ballots(spec, graph, voted)
    assert (whole.votes.height, whole.stale) == (16, 0)
    gone = whole.votes["left_sample"].drop_nulls()[0]  # of a pair that was shown
    (voted.artifact(gone) / "manifest.json").unlink()
    left = ballots(spec, graph, voted)
    assert (
        left.stale == whole.votes.filter((pl.col("left_sample") == gone) | (pl.col("right_sample") == gone)).height > 0
    )
    assert left.votes.height + left.stale == 16


def test_no_votes_no_ballots(spec, graph, store):
    assert ballots(spec, graph, store) is None


def test_a_page_at_work_keeps_others_from_writing(spec, store, tmp_path):
    log = Log(log_path(spec, store))
    (tmp_path / "service.csv").write_text("left,right,score\nfiltered,unfiltered,1\n")
    with pytest.raises(AblateError, match="is the voting page running"):
        import_votes("data_curation", "smoke", tmp_path / "service.csv")
    log.close()


def test_a_ballot_goes_out_blind_and_its_answers_come_back(spec, graph, store, tmp_path):
    assert write_ballot("data_curation", "smoke", tmp_path / "ballot", 20) == 20
    ballot = pl.read_csv(tmp_path / "ballot" / "ballot.csv")
    files = {path.name for path in (tmp_path / "ballot").iterdir()}
    assert set(ballot["left_clip"]) | set(ballot["right_clip"]) | {"ballot.csv"} == files
    told = (tmp_path / "ballot" / "ballot.csv").read_text() + " ".join(files)
    assert not [arm for arm in (*spec.arms, "real clip", "damaged", "sample-") if arm in told]
    answers = [
        {"pair": pair, "question": "visual quality", "rater": rater, "answer": "left", "price": "0.02"}
        for pair in ballot["pair"]
        for rater in ("w1", "w2")
    ]
    pl.DataFrame(answers).write_csv(tmp_path / "answers.csv")
    assert import_votes("data_curation", "smoke", tmp_path / "answers.csv") == (40, 0)
    assert import_votes("data_curation", "smoke", tmp_path / "answers.csv") == (0, 40)
    table = votes_table(spec, store)
    assert table.height == 40
    assert set(table["rater"]) == {"w1", "w2"}
    assert table["expected"].drop_nulls().len() == 4  # two checks, two raters
    assert set(table.filter(pl.col("expected").is_null())["left"]) <= set(spec.arms)
    with pytest.raises(AblateError, match="is not empty"):
        write_ballot("data_curation", "smoke", tmp_path / "ballot", 20)


@pytest.mark.parametrize(
    ("pair", "answer", "message"),
    [("nonsense", "left", "row 0: no ballot of this spec"), (None, "best", "answer is 'best'")],
)
def test_answers_to_no_ballot(spec, store, tmp_path, pair, answer, message):
    write_ballot("data_curation", "smoke", tmp_path / "ballot", 1)
    known = pl.read_csv(tmp_path / "ballot" / "ballot.csv")["pair"][0]
    pl.DataFrame({"pair": [pair or known], "answer": [answer], "rater": ["w"]}).write_csv(tmp_path / "answers.csv")
    with pytest.raises(AblateError, match=message):
        import_votes("data_curation", "smoke", tmp_path / "answers.csv")


def test_a_token_left_empty_is_made_anew(tmp_path):
    store = Store(tmp_path)
    (store.folder("votes") / "token").touch()
    token = token_of(store)
    assert len(token) > 16
    assert token_of(store) == token
    assert (store.folder("votes") / "token").stat().st_mode & 0o077 == 0
