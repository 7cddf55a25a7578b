"""`ablate curate`: every video of a source, shared among worker processes of this machine."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import polars as pl

from svd_core.curation.listing import list_videos
from svd_core.curation.settings import AnnotationSettings, VideoCurationSettings
from svd_core.curation.units import Unit, check_weights, kept_units, make_unit, merge, score_unit, units
from svd_core.data.processes import Crew, Isolated
from svd_core.progress import Progress, silent


def curate_videos(
    settings: VideoCurationSettings,
    source: str,
    out: Path,
    *,
    annotations: AnnotationSettings | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Curate SOURCE (see `listing`) into `out`: `clips.parquet`, `transitions.parquet`, `shards/*`; return the table.

    What is there already and fits is kept, whoever made it; the files are the same to the byte whatever the number of
    workers, kills and restarts. Other `annotations` score the kept frames again and decode nothing. Raises SourceError
    for a source without videos, MissingWeights without the text detector and what else the settings ask for.
    """
    annotations = annotations or AnnotationSettings()
    check_weights(settings, annotations)
    planned = units(list_videos(source), out)
    make_units(settings, annotations, planned, workers=workers, progress=progress)
    return merge(planned, settings, annotations, out)


def make_units(
    settings: VideoCurationSettings,
    annotations: AnnotationSettings,
    planned: list[Unit],
    *,
    workers: int = 1,
    progress: Progress = silent,
) -> None:
    """Curate and score the units that are not there or do not fit: all of SOURCE's, or one machine's share of them."""
    missing = {unit.name for unit in planned if not unit.done(settings)}

    def work(unit: Unit, crew: Crew) -> None:
        if unit.name in missing:
            make_unit(settings, unit, crew)
        score_unit(annotations, unit, crew)

    total = sum(len(unit.videos) for unit in planned)
    done = 0
    progress(done, total)
    for unit in _made(work, planned, workers):
        done += len(unit.videos)
        progress(done, total)


def score_again(
    annotations: AnnotationSettings, out: Path, *, workers: int = 1, progress: Progress = silent
) -> pl.DataFrame:
    """Score what `curate_videos` left in `out` by other settings, from kept frames alone; return the new table.

    Raises SourceError where nothing is left, MissingWeights for weights that the settings ask for.
    """
    settings, planned = kept_units(out)
    check_weights(settings, annotations)
    for done, _ in enumerate(_made(partial(score_unit, annotations), planned, workers), start=1):
        progress(done, len(planned))
    return merge(planned, settings, annotations, out)


def _made(work: Callable[[Unit, Crew], None], missing: list[Unit], workers: int) -> Iterator[Unit]:
    """Units as they are made: several at a time, so that no process is idle while the last video of one is decoded."""
    crew = Crew([Isolated() for _ in range(workers)])

    def make(unit: Unit) -> Unit:
        work(unit, crew)
        return unit

    pool = ThreadPoolExecutor(workers)
    try:
        for future in as_completed([pool.submit(make, unit) for unit in missing]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        crew.close()
        pool.shutdown()
