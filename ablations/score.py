"""The `ablate score` and `score-views` commands: any two folders of videos or of views, without a spec."""

import hashlib
import json
import os
from contextlib import ExitStack
from pathlib import Path

import torch
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ablations.artifacts import Store
from ablations.console import console
from ablations.errors import AblateError
from bench.folder_score import Request, Scored, score_folders
from bench.metrics.protocols import protocol_named
from bench.settings import ScoreSettings
from bench.view_score import ViewScores, score_views
from svd_core.data.processes import worker_pool
from svd_core.encoders.weights import WeightsError


def request(
    real: Path,
    generated: Path,
    metrics: str,
    protocol: str,
    in_time: tuple[int | None, int | None, int | None],
    fps: float | None,
    size: str | None,
    prompts: Path | None,
    device: str,
) -> Request:
    """The command's options as a request; `in_time` are frames, stride and clips a video, None for the protocol's."""
    if fps is not None and not fps > 0:
        raise AblateError(f"--fps {fps:g} is no frame rate: it has to be above 0")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise AblateError(f"--device {device}: {str(error).splitlines()[0]}") from error
    names = tuple(name.strip() for name in metrics.split(","))
    try:
        return Request(
            real,
            generated,
            ScoreSettings(metrics=names).metrics,
            protocol_named(protocol).but(*in_time),
            fps,
            read_size(size) if size else None,
            read_prompts(prompts) if prompts else None,
            device,
        )
    except ValidationError as error:
        raise AblateError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    except ValueError as error:
        raise AblateError(str(error)) from error


def run(request: Request, out: Path | None, workers: int | None, *, as_json: bool) -> None:
    """Score, write `scores.json` and `per_clip.parquet`, and print a table or the JSON."""
    store = Store()
    workers = workers or (os.cpu_count() or 1 if request.device == "cpu" else 1)
    if request.device == "cpu":
        torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the workers: one thread each
    try:
        with ExitStack() as stack:
            bar = stack.enter_context(Progress(console=Console(stderr=True), transient=True))
            task = bar.add_task("scoring", total=None)
            scored = score_folders(
                request,
                store.folder("features"),
                spread=stack.enter_context(worker_pool(workers)).map if workers > 1 else map,
                progress=lambda done, total, **_: bar.update(task, completed=done, total=total),
            )
    except (ValueError, WeightsError, ImportError) as error:
        raise AblateError(str(error)) from error
    show(scored, out or place(store, request.generated, scored), as_json=as_json)


def run_views(real: Path, generated: Path, metrics: str, out: Path | None, *, as_json: bool) -> None:
    """As `run`, of folders of views; `metrics` "" means all that can be measured."""
    torch.set_num_threads(1)
    names = [name.strip() for name in metrics.split(",")] if metrics else None
    try:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("scoring", total=None)
            scored = score_views(
                real, generated, names, progress=lambda done, total, **_: bar.update(task, completed=done, total=total)
            )
    except (ValueError, WeightsError, ImportError) as error:
        raise AblateError(str(error)) from error
    show(scored, out or place(Store(), generated, scored), as_json=as_json)


def show(scored: Scored | ViewScores, out: Path, *, as_json: bool) -> None:
    """Write the scores to `out`, and print them."""
    scored.write(out)
    if as_json:
        print(scored.as_json())
        return
    console.print(table(scored))
    console.print(f"written to {out}")


def table(scored: Scored | ViewScores) -> Table:
    """Metrics in rows; nothing is bold, for two numbers do not make a verdict."""
    grid = Table("metric", "value", "± stderr", "n", "n real", "frames", "resolution", box=None, pad_edge=False)
    for score in scored.scores.values():
        value = f"{score.value:.6g}" if score.value is not None else f"none: {score.error}"
        stderr = f"{score.stderr:.2g}" if score.stderr is not None else ""
        reference = str(score.n_reference) if score.n_reference is not None else ""
        grid.add_row(score.name, value, stderr, str(score.n), reference, str(score.frames), str(score.resolution))
    return grid


def read_prompts(path: Path) -> dict[str, str]:
    """`{"video.mp4": "prompt", ...}` from a JSON file. Raises AblateError for anything else."""
    try:
        prompts = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise AblateError(f"{path}: {error}") from error
    if not isinstance(prompts, dict) or not all(isinstance(text, str) for text in prompts.values()):
        raise AblateError(f'{path}: expected one JSON object of file names and prompts, {{"video.mp4": "a red ring"}}')
    return prompts


def read_size(text: str) -> tuple[int, int]:
    """`HEIGHTxWIDTH` in pixels."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise AblateError(f"--size {text!r} is not HEIGHTxWIDTH in pixels, such as 240x320")
    return int(height), int(width)


def place(store: Store, generated: Path, scored: Scored | ViewScores) -> Path:
    """Where scores go by default: a folder for each content."""
    key = hashlib.sha256(scored.as_json().encode()).hexdigest()[:12]
    return store.folder("scores") / f"{generated.name}-{key}"
