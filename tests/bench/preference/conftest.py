import numpy as np
import pytest
from starlette.testclient import TestClient

from bench.preference.clips import Clips
from bench.preference.log import Log
from bench.preference.poll import Poll, Subject
from bench.preference.server import VotingPage, application

ARMS = ("unfiltered", "filtered", "same_size_random")
SEEDS = (0, 1)
TOKEN = "a-token"  # noqa: S105
QUESTIONS = ("visual quality", "prompt following")


def subject(clips=8, arms=ARMS):
    samples = {(arm, seed): f"sample-{arm}-{seed}" for arm in arms for seed in SEEDS}
    return Subject(samples, tuple(f"a red square, take {n}" for n in range(clips)), QUESTIONS, checks=clips)


def frames(side, seed, clip):
    """A clip that differs from every other one."""
    draw = np.random.default_rng([len(side), seed or 0, clip])
    return draw.integers(0, 255, (10, 3, 32, 32)).astype(np.uint8), 8


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / "votes.jsonl")
    yield log
    log.close()


@pytest.fixture
def poll(log):
    return Poll(subject(), log, 20, "balance")


@pytest.fixture
def page(poll, tmp_path):
    (tmp_path / "clips").mkdir()
    return application(VotingPage(poll, Clips(frames, tmp_path / "clips"), TOKEN, 8765), "127.0.0.1")


@pytest.fixture
def client(page):
    """A browser that followed the link."""
    client = TestClient(page, base_url="http://127.0.0.1:8765", headers={"origin": "http://127.0.0.1:8765"})
    assert client.get(f"/?token={TOKEN}").status_code == 200
    return client
