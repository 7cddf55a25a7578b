"""People's votes on the clips of a spec: asked for on a page, kept in a log, read as a table."""

import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import safe_open

from ablations.artifacts import Store
from ablations.console import console, tell
from ablations.errors import AblateError
from ablations.plan import Graph, plan
from ablations.spec import Spec, load
from bench.preference.clips import Clips
from bench.preference.ledger import REAL, replayed
from bench.preference.log import Log, LogError, read_log
from bench.preference.pairing import Choose, Samples
from bench.preference.poll import Poll, Subject

QUESTIONS = ("visual quality", "prompt following")
"""The axes of the paper's human study."""
COLUMNS: dict[str, type[pl.DataType]] = {
    "left": pl.String, "right": pl.String, "score": pl.Float64, "prompt": pl.String, "question": pl.String,
    "rater": pl.String, "expected": pl.Float64, "clip": pl.Int64, "seed": pl.Int64, "task": pl.String,
    "left_sample": pl.String, "right_sample": pl.String,
}  # fmt: skip
"""What is known of a vote; `*_sample` are the artifacts that the clips are from."""


def serve(name: str, scale: str, host: str, port: int, pairs: int, questions: tuple[str, ...], choose: Choose) -> None:
    """Serve the voting page of a spec until interrupted."""
    import uvicorn

    from bench.preference.server import VotingPage, application

    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise AblateError(f"{host}:{port} cannot be served ({error.strerror}); choose another --port") from error
    spec, store = load(name, scale), Store()
    graph = plan(spec)
    subject = subject_of(spec, graph, store, questions)
    with held_log(spec, store) as log, tempfile.TemporaryDirectory(prefix="ablate-vote-") as folder:
        token = token_of(store)
        poll = Poll(subject, log, pairs, choose)
        clips = Clips(partial(read_clip, graph, store), Path(folder))
        Thread(target=prepare, args=(clips, subject), daemon=True).start()
        tell(spec.name, "bold", f": {len(subject.prompts)} prompts, {len(subject.samples)} runs")
        console.print(f"votes so far: {len(poll.ledger.answers)}, kept in {log.path}")
        console.print(f"raters open:  http://{host}:{port}/?token={token}")
        if host not in ("127.0.0.1", "localhost"):
            tell("the page is open to the network, unencrypted: whoever has the link can vote", "yellow")
        app = application(VotingPage(poll, clips, token, port), host)
        uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, server_header=False)


def subject_of(spec: Spec, graph: Graph, store: Store, questions: tuple[str, ...]) -> Subject:
    """What can be voted on now. Raises AblateError unless two arms were sampled, with the same prompts."""
    samples = present_samples(graph, store)
    if len({arm for arm, _ in samples}) < 2:
        raise AblateError(f"{spec.name} has no clips of two arms at scale {spec.scale}; `ablate run` makes them")
    prompts = {run: tuple(entry["prompt"] for entry in read_prompts(store, key)) for run, key in samples.items()}
    first, texts = next(iter(prompts.items()))
    for run, other in prompts.items():
        if other != texts:
            raise AblateError(f"runs {first} and {run} were sampled with other prompts: no pair shows the same one")
    with safe_open(reference(graph, store), framework="np") as file:
        real = int(file.get_slice("videos").get_shape()[0])
    return Subject(samples, texts, questions, checks=min(real, len(texts)))


def present_samples(graph: Graph, store: Store) -> Samples:
    """The samples artifact of every run that has one."""
    return {run: roles["sample"] for run, roles in graph.runs.items() if store.has(roles["sample"])}


def read_prompts(store: Store, key: str) -> list[dict[str, Any]]:
    """What each clip of a samples artifact shows: `prompt` and `fps`."""
    entries: list[dict[str, Any]] = json.loads((store.artifact(key) / "prompts.json").read_text(encoding="utf-8"))
    return entries


def reference(graph: Graph, store: Store) -> Path:
    """The file of the real clips: the i-th has the i-th prompt."""
    return store.artifact(next(iter(graph.runs.values()))["reference"]) / "clips.safetensors"


def read_clip(graph: Graph, store: Store, side: str, seed: int | None, clip: int) -> tuple[NDArray[np.uint8], int]:
    """Frames (T, 3, H, W) and rate of one clip of an arm, or of the real clip."""
    key = next(k for (arm, s), k in present_samples(graph, store).items() if side == REAL or (arm, s) == (side, seed))
    path = reference(graph, store) if side == REAL else store.artifact(key) / "videos.safetensors"
    with safe_open(path, framework="np") as file:
        return file.get_slice("videos")[clip : clip + 1][0], int(read_prompts(store, key)[clip]["fps"])


def prepare(clips: Clips, subject: Subject) -> None:
    """Make all files ahead of the raters, clip by clip."""
    with suppress(FileNotFoundError):  # the page was closed, and its folder is gone
        for clip in range(len(subject.prompts)):
            for arm, seed in subject.samples:
                clips.path(arm, seed, clip)


def log_path(spec: Spec, store: Store) -> Path:
    """Where the votes on a spec at its scale are kept."""
    return store.root / "votes" / f"{spec.name}-{spec.scale}.jsonl"


@contextmanager
def held_log(spec: Spec, store: Store) -> Iterator[Log]:
    """The votes' log, for this process alone."""
    try:
        log = Log(log_path(spec, store))
    except (LogError, OSError) as error:
        raise AblateError(str(error)) from error
    try:
        yield log
    finally:
        log.close()


def token_of(store: Store) -> str:
    """The token of this store's voting pages: kept, so that a restarted page knows its raters' links."""
    path = store.folder("votes") / "token"
    if not path.exists() or not path.read_text():
        own = path.with_name(f".token.{os.getpid()}")
        own.touch(mode=0o600)
        own.write_text(secrets.token_urlsafe(16))
        own.replace(path)  # whole or not at all: an empty token would let everybody in
    return path.read_text()


def votes_table(spec: Spec, store: Store) -> pl.DataFrame:
    """All standing votes on a spec at its scale, one row an answer, attention checks and old samples included."""
    try:
        return pl.DataFrame(replayed(read_log(log_path(spec, store))).rows(), schema=COLUMNS)
    except LogError as error:
        raise AblateError(str(error)) from error


def on_present_samples(votes: pl.DataFrame, graph: Graph, store: Store) -> pl.DataFrame:
    """Attention checks, and the votes on clips that the store's present artifacts hold."""
    present = sorted(set(present_samples(graph, store).values()))
    real = pl.col("left_sample").is_in(present) & pl.col("right_sample").is_in(present)
    return votes.filter(pl.col("expected").is_not_null() | real)
