"""The command `ablate curate`: anybody's videos to clip table and shards."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ablations.errors import AblateError
from svd_core.curation.listing import SourceError
from svd_core.curation.videos import curate_videos, score_again
from svd_core.encoders.weights import WeightsError
from svd_core.settings import AnnotationSettings, VideoCurationSettings

console = Console(soft_wrap=True)
SHOWN = 10


class CurateError(AblateError):
    """SOURCE or a setting cannot be used; nothing was written."""


Given = dict[str, Any]
"""Settings from the command line; those left null keep their default."""


def curate(source: str | None, out: Path, workers: int | None, annotations: Given, **cutting: Any) -> None:
    """Curate SOURCE into `out` and say what came of it."""
    if source is None:
        raise CurateError("SOURCE is missing: a folder, glob, manifest (csv, parquet) or WebDataset tar")
    with _refusals(), _progress("videos") as progress:
        settings = VideoCurationSettings(**_given(cutting))
        asked = AnnotationSettings(**_given(annotations))
        table = curate_videos(settings, source, out, annotations=asked, workers=workers or _cores(), progress=progress)
    _tell(table, out)


def score(out: Path, workers: int | None, annotations: Given, **unfit: Any) -> None:
    """Score the clips in `out` again by other settings. `unfit` are those that would need the videos again."""
    if _given(unfit):
        name = next(iter(_given(unfit))).replace("_", "-")
        raise CurateError(f"--score-only decodes nothing, so it takes no {name}: leave one of the two out")
    with _refusals(), _progress("shards") as progress:
        asked = AnnotationSettings(**_given(annotations))
        table = score_again(asked, out, workers=workers or _cores(), progress=progress)
    _tell(table, out)


def _given(options: Given) -> Given:
    return {name: value for name, value in options.items() if value is not None}


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@contextmanager
def _refusals() -> Iterator[None]:
    """What cannot be used, in the words of the command line."""
    try:
        yield
    except ValidationError as error:
        wrong = error.errors()[0]
        place = f"--{'-'.join(map(str, wrong['loc'])).replace('_', '-')}: " if wrong["loc"] else ""
        raise CurateError(f"{place}{wrong['msg'].removeprefix('Value error, ')}") from error
    except (SourceError, WeightsError) as error:
        raise CurateError(str(error)) from error


@contextmanager
def _progress(what: str) -> Iterator[Callable[..., None]]:
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
    with Progress(*map(_column, columns), TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(what, visible=False)
        yield lambda done, total, **_: bar.update(task, completed=done, total=total, visible=True)


def _column(column: Any) -> Any:
    return TextColumn(column) if isinstance(column, str) else column


def _tell(table: pl.DataFrame, out: Path) -> None:
    """How many clips of how many videos, and which videos gave none."""
    clips = table.filter(pl.col("error").is_null())
    seconds = float((clips["end_s"] - clips["start_s"]).sum())
    lost = table.filter(~pl.col("source").is_in(clips["source"].implode()))
    console.print(
        f"{clips.height} clips ({seconds:.1f} s) of {clips['source'].n_unique()} videos, "
        f"{table.height - clips.height} rejected; {out / 'clips.parquet'}",
        highlight=False,
    )
    reasons = {str(source): str(error) for source, error in lost.select("source", "error").iter_rows()}
    for source, reason in list(reasons.items())[:SHOWN]:
        console.print(f"  [yellow]no clips[/] of {source!r}: {reason}", highlight=False, markup=True)
    if len(reasons) > SHOWN:
        console.print(f"  and {len(reasons) - SHOWN} more; see column `error`")
