"""The voting page as requests: what it refuses, and that nothing it sends names an arm."""

import json

import av
import pytest
from starlette.testclient import TestClient
from voting import ARMS, QUESTIONS, TOKEN

from bench.preference.log import read_log

BASE = "http://127.0.0.1:8765"


def stranger(page, **headers):
    """A browser without the link."""
    return TestClient(page, base_url=BASE, headers={"origin": BASE, **headers}, follow_redirects=False)


def entered(client, name="Ann"):
    return client.post("/enter", json={"name": name}).json()


@pytest.mark.parametrize(
    "path", ["/", "/vote.js", "/state", "/clip/x/left", "/nothing", "/?token=wrong", "/?token=%FF"]
)
def test_no_token_no_answer(page, path):
    answer = stranger(page).get(path)
    assert answer.status_code == 401
    assert "ablate vote" in answer.json()["error"]


def test_no_token_no_vote(page, poll):
    for path in ("/enter", "/vote", "/undo", "/leave"):
        assert stranger(page).post(path, json={"name": "Ann"}).status_code == 401
    assert not poll.ledger.tasks


def test_the_token_leaves_the_address(page):
    answer = stranger(page).get(f"/?token={TOKEN}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_votes_follow_one_another_to_the_end(client, poll):
    state = entered(client)
    assert (state["rater"], state["answered"], state["total"], state["undo"]) == ("Ann", 0, 40, None)
    for number in range(1, 41):
        state = client.post(
            "/vote", json={"task": state["task"], "question": state["question"], "answer": "left"}
        ).json()
        assert state["answered"] == number
    assert "task" not in state
    assert len(poll.ledger.rows()) == 40
    assert client.get("/state").json() == state


def test_a_vote_is_in_the_file_before_the_answer(client, poll):
    state = entered(client)
    given = {"task": state["task"], "question": state["question"], "answer": "tie"}
    client.post("/vote", json=given)
    assert read_log(poll.log.path)[-1] == {
        "event": "vote",
        "task": given["task"],
        "question": given["question"],
        "score": 0.5,
    }


def test_undo_takes_the_last_answer_back(client, poll):
    first = entered(client)
    asked = {"task": first["task"], "question": first["question"]}
    second = client.post("/vote", json={**asked, "answer": "left"}).json()
    assert second["undo"] == asked
    assert client.post("/undo", json=asked).json() == first
    assert poll.ledger.rows() == []


def test_another_sites_page_cannot_vote(client):
    state = entered(client)
    given = {"task": state["task"], "question": state["question"], "answer": "left"}
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8765"):
        assert client.post("/vote", json=given, headers={"origin": origin}).status_code == 403
    assert client.post("/vote", content=json.dumps(given), headers={"content-type": "text/plain"}).status_code == 415
    assert client.post("/vote", data=given).status_code == 415
    assert client.get("/state").json() == state


def test_another_name_for_this_machine_is_refused(page):
    client = TestClient(page, base_url="http://evil.example:8765", headers={"origin": "http://evil.example:8765"})
    assert client.get(f"/?token={TOKEN}").status_code == 400


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b"[" * 1900, 400),
        (b'{"task": 1, "question": "visual quality", "answer": "left"}', 400),
        (b'{"task": "x", "question": "visual quality", "answer": "middle"}', 400),
        (b'{"task": "x", "question": "visual quality", "answer": ["left"]}', 400),
        (b'{"task": "x", "question": "visual quality", "answer": "left"}', 404),
        (b'{"name": "' + b"a" * 5000 + b'"}', 413),
    ],
)
def test_malformed_and_oversized_bodies(client, poll, content, status):
    entered(client)
    before = poll.log.path.read_bytes()
    answer = client.post("/vote", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"]
    assert poll.log.path.read_bytes() == before


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "=HYPERLINK(1)", "a\nb", "a" * 41, " ", "../etc", "@cmd", 7, None, ["a"], "a;b"],
)
def test_names_that_are_none(client, poll, name):
    assert client.post("/enter", json={"name": name}).status_code == 400
    assert not poll.ledger.tasks


@pytest.mark.parametrize("name", ["Zoë Müller-O'Brien", "李雷", "rater_7"])
def test_names_that_are(client, name):
    assert entered(client, name)["rater"] == name
    assert client.get("/state").json()["rater"] == name


def test_a_forged_name_in_the_cookie_is_refused(client):
    client.cookies.set("ablate-rater-8765", "%3Cscript%3E")
    assert client.get("/state").status_code == 400


def test_anonymous_raters_are_told_apart_and_leave(client):
    one = entered(client, "")["rater"]
    assert client.post("/leave", json={}).json() == {"rater": None}
    assert client.get("/state").json() == {"rater": None}
    assert client.post("/vote", json={}).status_code == 403
    assert entered(client, "")["rater"] != one


@pytest.mark.parametrize(
    "path", ["/clip/../vote.js", "/clip/%2e%2e%2fvotes.jsonl/left", "/../votes.jsonl", "/clip/x/left/..%2f"]
)
def test_no_path_leads_out(client, path):
    entered(client)
    answer = client.get(path)
    assert answer.status_code == 404 or answer.text == client.get("/vote.js").text  # the client itself resolves ".."


def test_clips_come_whole_and_in_ranges(client):
    state = entered(client)
    path = f"/clip/{state['task']}/left"
    whole = client.get(path)
    assert whole.headers["content-type"] == "video/mp4"
    part = client.get(path, headers={"range": "bytes=100-299"})
    assert part.status_code == 206
    assert part.content == whole.content[100:300]
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole.content)}"
    assert client.get(path, headers={"range": f"bytes={len(whole.content)}-"}).status_code == 416
    assert client.get(f"/clip/{state['task']}/middle").status_code == 404
    client.post("/enter", json={"name": "Bob"})
    assert client.get(path).status_code == 404  # another rater's pair


def test_nothing_sent_names_an_arm(client, poll, tmp_path):
    sent = [client.get(path).text for path in ("/", "/vote.js", "/vote.css")]
    state = entered(client)
    lengths = set()
    for _ in range(40):
        for side in ("left", "right"):
            answer = client.get(f"/clip/{state['task']}/{side}")
            sent += [answer.content.decode("latin-1"), str(sorted(answer.headers.items()))]
            (tmp_path / "seen.mp4").write_bytes(answer.content)
            with av.open(str(tmp_path / "seen.mp4")) as file:
                lengths.add((file.duration, file.streams.video[0].frames, file.streams.video[0].width))
                sent += [str(file.metadata), str(file.streams.video[0].metadata)]
            assert answer.headers["last-modified"] == "Thu, 01 Jan 1970 00:00:00 GMT"
        answer = client.post("/vote", json={"task": state["task"], "question": state["question"], "answer": "left"})
        state = answer.json()
        sent += [answer.text, str(sorted(answer.headers.items()))]
    everything = "\n".join([*sent, *(path.name for path in (tmp_path / "clips").iterdir())])
    for name in (*ARMS, "sample-", "real clip", "damaged", "expected", "seed"):
        assert name not in everything.replace("prefers", ""), name
    assert lengths == {(1_250_000, 10, 256)}
    assert len(poll.ledger.rows()) == 40


def test_headers_shut_everything_else_out(client):
    headers = client.get("/").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert QUESTIONS


def test_a_full_disk_is_said_and_nothing_is_counted(client, poll, monkeypatch):
    state = entered(client)

    def full(event):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(poll.log, "append", full)
    answer = client.post("/vote", json={"task": state["task"], "question": state["question"], "answer": "left"})
    assert answer.status_code == 500
    assert "No space left" in answer.json()["error"]
    assert poll.ledger.rows() == []
    monkeypatch.undo()
    assert client.get("/state").json() == state
