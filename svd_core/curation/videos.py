"""`ablate curate`: every video of a source, shared among worker processes of this machine."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import polars as pl

from svd_core.curation.listing import list_videos
from svd_core.curation.units import Unit, make_unit, merge, units
from svd_core.data.processes import Isolated
from svd_core.encoders.weights import locate
from svd_core.progress import Progress, silent
from svd_core.settings import VideoCurationSettings


def curate_videos(
    settings: VideoCurationSettings, source: str, out: Path, *, workers: int = 1, progress: Progress = silent
) -> pl.DataFrame:
    """Curate SOURCE (see `listing`) into `out`: `clips.parquet`, `transitions.parquet`, `shards/*`; return the table.

    What is there already and fits is kept, whoever made it; the files are the same to the byte whatever the number of
    workers, kills and restarts. Raises SourceError for a source without videos, MissingWeights without the text
    detector.
    """
    planned = units(list_videos(source), out)
    missing = [unit for unit in planned if not unit.done(settings)]
    total = sum(len(unit.videos) for unit in planned)
    done = total - sum(len(unit.videos) for unit in missing)
    progress(done, total)
    work = partial(make_unit, settings, locate("ppocr_det"))
    for unit in _made(work, missing, workers):
        done += len(unit.videos)
        progress(done, total)
    return merge(planned, settings, out)


def _made(work: Callable[[Unit, Isolated], None], missing: list[Unit], workers: int) -> Iterator[Unit]:
    """Units as they are made. A thread a worker waits for the process that does its decoding."""
    processes = [Isolated() for _ in range(workers)]
    idle: SimpleQueue[Isolated] = SimpleQueue()
    for process in processes:
        idle.put(process)

    def make(unit: Unit) -> Unit:
        process = idle.get()
        try:
            work(unit, process)
        finally:
            idle.put(process)
        return unit

    pool = ThreadPoolExecutor(workers)
    try:
        for future in as_completed([pool.submit(make, unit) for unit in missing]):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.close()
        pool.shutdown()
