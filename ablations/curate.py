"""The command `ablate curate`: anybody's videos to clip table and shards."""

import os
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ablations.errors import AblateError
from svd_core.curation.listing import SourceError
from svd_core.curation.videos import curate_videos
from svd_core.encoders.weights import WeightsError
from svd_core.settings import VideoCurationSettings

console = Console(soft_wrap=True)
SHOWN = 10


class CurateError(AblateError):
    """SOURCE or a setting cannot be used; nothing was written."""


def curate(source: str, out: Path, workers: int | None, **given: Any) -> None:
    """Curate SOURCE into `out` and say what came of it. `given` are settings; those left null keep their default."""
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
    try:
        settings = VideoCurationSettings(**{name: value for name, value in given.items() if value is not None})
        with Progress(*map(_column, columns), TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
            task = bar.add_task("videos", visible=False)
            table = curate_videos(
                settings,
                source,
                out,
                workers=workers or len(os.sched_getaffinity(0)),
                progress=lambda done, total, **_: bar.update(task, completed=done, total=total, visible=True),
            )
    except ValidationError as error:
        wrong = error.errors()[0]
        place = f"--{'-'.join(map(str, wrong['loc'])).replace('_', '-')}: " if wrong["loc"] else ""
        raise CurateError(f"{place}{wrong['msg'].removeprefix('Value error, ')}") from error
    except (SourceError, WeightsError) as error:
        raise CurateError(str(error)) from error
    _tell(table, out)


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
