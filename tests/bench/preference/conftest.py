import pytest
from starlette.testclient import TestClient
from voting import TOKEN, frames, subject

from bench.preference.clips import Clips
from bench.preference.log import Log
from bench.preference.poll import Poll
from bench.preference.server import VotingPage, application


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
