"""The `curate` stage: source videos to clip table and shards."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from functools import cache, partial
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import torch

from svd_core.curation import aesthetics, motion, text_area
from svd_core.curation.parts import Part, looks
from svd_core.curation.settings import CurationSettings
from svd_core.curation.source import Scorers, curate_source
from svd_core.curation.table import SCHEMA, write_table
from svd_core.curation.text_area import TextDetector
from svd_core.data.processes import worker_pool
from svd_core.data.shards import Sample, write_shard
from svd_core.encoders.toy_clip import ToyClip
from svd_core.encoders.weights import locate
from svd_core.progress import Progress, silent

SOURCES_PER_PART = 20
CLIPS_PER_SHARD = 1000


def curate(
    settings: CurationSettings,
    corpus: Path,
    clip_encoder: Path,
    out: Path,
    *,
    workers: int = 1,
    progress: Progress = silent,
) -> None:
    """Curate every file of `corpus/videos` into `out`: `clips.parquet`, `transitions.parquet`, `shards/*.tar`.

    Sources are shared among `workers` processes of one thread each. What a killed run left under `out` is continued;
    the files are the same to the byte whatever the number of workers or kills. A source that cannot be read becomes a
    row with an error. Raises FileNotFoundError when there are no videos, MissingWeights without the text detector.
    """
    if not (out / "clips.parquet").exists():
        parts = _parts(corpus, out / "parts")
        _curate_parts(parts, settings, clip_encoder, workers, progress)
        _merge(parts, settings, out)
    shutil.rmtree(out / "parts", ignore_errors=True)


def _parts(corpus: Path, folder: Path) -> list[Part]:
    sources = sorted(path for path in (corpus / "videos").glob("*") if path.is_file() and path.suffix != ".json")
    if not sources:
        raise FileNotFoundError(f"no videos in {corpus / 'videos'}")
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(sources), SOURCES_PER_PART)
    return [Part(index, tuple(sources[start : start + SOURCES_PER_PART]), folder) for index, start in enumerate(starts)]


def _curate_parts(
    parts: list[Part], settings: CurationSettings, clip_encoder: Path, workers: int, progress: Progress
) -> None:
    done = sum(len(part.sources) for part in parts if part.done)
    total = sum(len(part.sources) for part in parts)
    progress(done, total)
    work = partial(_curate_part, settings=settings, text_weights=locate("ppocr_det"), clip_encoder=clip_encoder)
    for part in _unordered(work, [part for part in parts if not part.done], workers):
        done += len(part.sources)
        progress(done, total)


def _unordered(work: Callable[[Part], Part], parts: list[Part], workers: int) -> Iterator[Part]:
    if workers == 1:
        yield from map(work, parts)
        return
    with worker_pool(workers) as pool:
        for future in as_completed([pool.submit(work, part) for part in parts]):
            yield future.result()


def _curate_part(part: Part, *, settings: CurationSettings, text_weights: Path, clip_encoder: Path) -> Part:
    one_thread()
    scorers = _scorers(settings, text_weights, clip_encoder)
    part.write(curate_source(settings, source, scorers) for source in part.sources)
    return part


@cache
def _scorers(settings: CurationSettings, text_weights: Path, clip_encoder: Path) -> Scorers:
    return Scorers(TextDetector(text_weights, settings.text_side), ToyClip.load(clip_encoder))


def one_thread() -> None:
    """A process is the unit of parallel work; sums of several threads would also differ from run to run."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _merge(parts: list[Part], settings: CurationSettings, out: Path) -> None:
    """What needs all sources at once: aesthetics and shards. `clips.parquet` comes last: it says done."""
    scratch = out / "parts"
    tables = [pl.read_parquet(part.clips).drop("window") for part in parts]
    table = pl.concat(tables)
    is_clip = table["error"].is_null()
    scores = aesthetics.typical_looks(looks(table.filter(is_clip)), settings.aesthetics_over_frames)
    places = _write_shards(parts, settings, out / "shards", scratch)
    scored = table.filter(is_clip).with_columns(pl.Series("aesthetics", scores), *places.get_columns())
    transitions = pl.concat([pl.read_parquet(part.transitions) for part in parts])
    write_table(transitions, out / "transitions.parquet", scratch=scratch)
    rows = pl.concat([scored, table.filter(~is_clip)]).sort("clip_id").select(SCHEMA.keys())
    write_table(rows, out / "clips.parquet", scratch=scratch, methods=_methods(settings))


def _write_shards(parts: list[Part], settings: CurationSettings, folder: Path, scratch: Path) -> pl.DataFrame:
    """Write all windows in the order of the parts; return `shard`, `offset`, `size` for each."""
    folder.mkdir(exist_ok=True)
    samples = _samples(parts, settings)
    rows: list[tuple[str, int, int]] = []
    for index in count():
        chunk = list(islice(samples, CLIPS_PER_SHARD))
        if not chunk:
            break
        name = f"{index:06d}.tar"
        ranges = write_shard(folder / name, chunk, scratch=scratch)
        rows += [(f"{folder.name}/{name}", offset, size) for offset, size in ranges]
    return pl.DataFrame(rows, schema={name: SCHEMA[name] for name in ("shard", "offset", "size")}, orient="row")


def _samples(parts: list[Part], settings: CurationSettings) -> Iterator[Sample]:
    shape = (settings.frames, settings.resolution, settings.resolution, 3)
    for part in parts:
        clips = pl.read_parquet(part.clips).filter(pl.col("error").is_null())
        for clip in clips.iter_rows(named=True):
            window = np.frombuffer(clip["window"], dtype=np.uint8).reshape(shape)
            described = {name: clip[name] for name in ("caption_image", "caption_video", "caption", "fps")}
            yield Sample(clip["clip_id"], window, described)


def _methods(settings: CurationSettings) -> dict[str, str]:
    text = f"{text_area.METHOD}, shortest side {settings.text_side} px"
    return {
        "motion": motion.METHOD,
        "text_area": f"{text}, {settings.text_over_frames} of 3 frames",
        "aesthetics": f"{aesthetics.METHOD}, {settings.aesthetics_over_frames} of 3 frames",
        "alignment": f"toy_clip, mean over captions, {settings.alignment_over_frames} of 3 frames",
    }
