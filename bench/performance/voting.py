"""How quickly the voting page answers one rater while nineteen others vote."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import quantiles
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import uvicorn
from numpy.typing import NDArray

from bench.performance.goals import goal
from bench.preference.clips import Clips
from bench.preference.log import Log
from bench.preference.poll import Poll, Subject
from bench.preference.server import VotingPage, application

TOKEN = "benchmark"  # noqa: S105
RATERS = 20
PAUSE_S = 0.5
"""Between two answers of a rater: faster than people watch two videos."""
ARMS, SEEDS, PROMPTS = 6, 3, 16


def frames(side: str, seed: int | None, clip: int) -> tuple[NDArray[np.uint8], int]:
    """Noise of the size of a laptop sample."""
    draws = np.random.default_rng([len(side), seed or 0, clip])
    return draws.integers(0, 256, (10, 3, 32, 32), np.uint8), 8


def serve(folder: str, port: str) -> None:
    """The page as `ablate vote` serves it, its clips ready."""
    samples = {(f"arm {arm}", seed): f"{arm}-{seed}" for arm in range(ARMS) for seed in range(SEEDS)}
    subject = Subject(samples, tuple(f"prompt {n}" for n in range(PROMPTS)), ("visual quality", "prompt following"))
    clips = Clips(frames, Path(folder))
    for arm, seed in samples:
        for clip in range(PROMPTS):
            clips.path(arm, seed, clip)
    poll = Poll(subject, Log(Path(folder) / "votes.jsonl"), 10_000, "balance")
    app = application(VotingPage(poll, clips, TOKEN, int(port)), "127.0.0.1")
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """The page in a process of its own; gives its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "bench.performance.voting", str(folder), str(port)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while not listening(port):
            if process.poll() is not None:
                raise RuntimeError("the voting page ended")
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait()


def listening(port: int) -> bool:
    """Whether somebody answers there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Rater:
    """One browser: a connection that stays open, and what it knows."""

    def __init__(self, port: int, name: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port)
        self.headers = {"Cookie": f"ablate-token-{port}={TOKEN}; ablate-rater-{port}={name}"}
        self.origin = f"http://127.0.0.1:{port}"
        self.state: dict[str, Any] = json.loads(self.get("/state"))

    def get(self, path: str) -> bytes:
        """One page, whole."""
        self.connection.request("GET", path, headers=self.headers)
        return self.connection.getresponse().read()

    def vote(self) -> None:
        """Answer, and learn the next question."""
        given = {"task": self.state["task"], "question": self.state["question"], "answer": "left"}
        headers = {**self.headers, "Origin": self.origin, "Content-Type": "application/json"}
        self.connection.request("POST", "/vote", json.dumps(given), headers)
        self.state = json.loads(self.connection.getresponse().read())

    def close(self) -> None:
        """Let go of the connection."""
        self.connection.close()

    def watch(self) -> None:
        """Fetch both clips of the pair."""
        for side in ("left", "right"):
            self.get(f"/clip/{self.state['task']}/{side}")


def keep_voting(port: int, name: str, stop: Event) -> None:
    """One of the others: clips, a pause, a vote, until told to stop."""
    with closing(Rater(port, name)) as rater:
        while not stop.wait(PAUSE_S):
            rater.watch()
            rater.vote()


@contextmanager
def others(port: int) -> Iterator[None]:
    """Nineteen raters at work."""
    stop = Event()
    threads = [Thread(target=keep_voting, args=(port, f"rater{n}", stop)) for n in range(RATERS - 1)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a page that serves all tests here."""
    with served(tmp_path_factory.mktemp("voting")) as port:
        yield port


def test_vote_among_twenty_raters(benchmark: Any, port: int) -> None:
    with others(port), closing(Rater(port, "measured")) as rater:
        seconds: list[float] = []

        def vote() -> None:
            started = time.perf_counter()
            rater.vote()
            seconds.append(time.perf_counter() - started)

        benchmark.pedantic(vote, setup=lambda: time.sleep(0.05), rounds=200, iterations=1)
    goal(benchmark, "answer to a vote among 20 raters, 95th percentile, s", quantiles(seconds, n=20)[-1], at_most=0.05)
    goal(benchmark, "answer to a vote among 20 raters, slowest, s", max(seconds))


def test_clip_among_twenty_raters(benchmark: Any, port: int) -> None:
    with others(port), closing(Rater(port, "watching")) as rater:
        benchmark.pedantic(rater.watch, setup=lambda: time.sleep(0.05), rounds=100, iterations=1)
    goal(benchmark, "both clips of a pair among 20 raters, median, s", benchmark.stats["median"], at_most=0.1)


if __name__ == "__main__":
    serve(*sys.argv[1:])
