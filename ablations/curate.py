"""The command `ablate curate`: anybody's videos to clip table and shards."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ablations.console import console, tell
from ablations.errors import AblateError
from svd_core.curation.listing import SourceError, list_videos
from svd_core.curation.settings import AnnotationSettings, VideoCurationSettings
from svd_core.curation.units import check_weights, units
from svd_core.curation.videos import curate_videos, make_units, score_again
from svd_core.encoders.weights import WeightsError

SHOWN = 10


class CurateError(AblateError):
    """SOURCE or a setting cannot be used; nothing was written."""


Given = dict[str, Any]
"""Settings from the command line; those left null keep their default."""


def curate(source: str | None, out: Path, workers: int | None, annotations: Given, **cutting: Any) -> None:
    """Curate SOURCE into `out` and say what came of it."""
    source = _named(source)
    with _refusals(), _progress("videos") as progress:
        settings = VideoCurationSettings(**_given(cutting))
        asked = AnnotationSettings(**_given(annotations))
        table = curate_videos(settings, source, out, annotations=asked, workers=workers or _cores(), progress=progress)
    _tell(table, out)


def curate_share(
    source: str | None, out: Path, share: str, workers: int | None, annotations: Given, **cutting: Any
) -> None:
    """Curate a share of SOURCE's units (`2/16`: the second of sixteen) into `out`, and leave the table to others."""
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", share)
    if not match or int(match[1]) > int(match[2]):
        raise CurateError(f"--share {share}: expected I/N with I from 1 to N, such as 2/16")
    with _refusals(), _progress("videos") as progress:
        settings, asked = VideoCurationSettings(**_given(cutting)), AnnotationSettings(**_given(annotations))
        check_weights(settings, asked)
        mine = units(list_videos(_named(source)), out)[int(match[1]) - 1 :: int(match[2])]
        make_units(settings, asked, mine, workers=workers or _cores(), progress=progress)


def submit(
    source: str | None, out: Path, cluster_name: str, workers: int | None, annotations: Given, **cutting: Any
) -> None:
    """Curate SOURCE on a SLURM cluster: an array over shares of the units that are missing, then this very command."""
    from ablations.slurm.errands import slurm_cluster, submit_commands
    from ablations.slurm.queue import largest_array

    source, cluster = _named(source), slurm_cluster(cluster_name)
    with _refusals():
        settings = VideoCurationSettings(**_given(cutting))
        check_weights(settings, AnnotationSettings(**_given(annotations)))
        missing = sum(not unit.done(settings) for unit in units(list_videos(source), out))
    given = _given(annotations | cutting | {"workers": workers})
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    whole = ["curate", source, "--out", str(out.absolute()), *options]
    shares = min(missing, cluster.resources("curate").parallel, largest_array())
    parts = [[*whole, "--share", f"{number}/{shares}"] for number in range(1, shares + 1)]
    submit_commands("curate", out, cluster, cluster_name, parts, [whole])


def _named(source: str | None) -> str:
    if source is None:
        raise CurateError("SOURCE is missing: a folder, glob, manifest (csv, parquet) or WebDataset tar")
    return source


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
    return int(os.environ.get("ABLATE_CORES", len(os.sched_getaffinity(0))))


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
    )
    by_length = lost.sort("source", pl.col("end_s") - pl.col("start_s"))  # the longest piece says most
    reasons = {str(source): str(error) for source, error in by_length.select("source", "error").iter_rows()}
    for source, reason in list(reasons.items())[:SHOWN]:
        tell("  no clips", "yellow", f" of {source!r}: {reason}")
    if len(reasons) > SHOWN:
        console.print(f"  and {len(reasons) - SHOWN} more; see column `error`")
