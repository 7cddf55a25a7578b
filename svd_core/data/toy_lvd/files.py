"""The stages: a corpus of H.264 files with sidecar captions and its truth, the reference clips, and images."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import save_file

from svd_core.data.processes import worker_pool
from svd_core.data.toy_lvd.defects import KINDS, Defects
from svd_core.data.toy_lvd.pairs import image_pairs
from svd_core.data.toy_lvd.scenes import random_stream
from svd_core.data.toy_lvd.shots import FRAME_RATES, Shot, Source, draw_shot, film_source, plan_corpus
from svd_core.data.video import Video, training_window, write_h264
from svd_core.progress import Progress, silent
from svd_core.settings import CorpusSettings, ImagesSettings, ReferenceSettings

Work = TypeVar("Work")
Result = TypeVar("Result")


def render_corpus(settings: CorpusSettings, out: Path, *, workers: int = 1, progress: Progress = silent) -> None:
    """Write `out/videos/NNNNNN.mp4` with sidecar captions `.json`, and `out/truth.parquet`, one row a shot.

    The bytes depend on the settings alone, not on `workers`. A source that an interrupted attempt left whole is kept.
    """
    videos = out / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    for half_written in videos.glob("*.half"):
        half_written.unlink(missing_ok=True)
    sources = plan_corpus(settings.sources, settings.seed, settings.frame_rates or FRAME_RATES)
    for done, _ in enumerate(_in_processes(partial(_render_source, videos), sources, workers), start=1):
        progress(done, len(sources))
    half_written = out / "truth.parquet.half"
    truth(sources).write_parquet(half_written)
    half_written.replace(out / "truth.parquet")


def render_reference(settings: ReferenceSettings, out: Path, *, workers: int = 1, progress: Progress = silent) -> None:
    """Write held-out good clips: `out/clips.safetensors` {"videos": uint8 (N, T, 3, H, W)} and `out/clips.json`.

    Each went through the encoder, the decoder and the window that the corpus goes through. Draws its scenes apart from
    any corpus, whatever the seeds.
    """
    windows: list[NDArray[np.uint8]] = []
    shots = [_reference_shot(settings, index) for index in range(settings.clips)]
    for done, window in enumerate(_in_processes(partial(_film_window, settings), shots, workers), start=1):
        windows.append(window)
        progress(done, len(shots))
    captions = [{"caption": shot.scene.merged_caption, "fps": shot.fps, "motion": None} for shot in shots]
    save_file({"videos": np.ascontiguousarray(np.stack(windows).transpose(0, 1, 4, 2, 3))}, out / "clips.safetensors")
    (out / "clips.json").write_text(json.dumps(captions, indent=1))


def reference_windows(settings: ReferenceSettings) -> Iterator[tuple[NDArray[np.uint8], str, float]]:
    """Window (T, H, W, 3), caption and frame rate of good clips that no corpus holds, drawn as the reference's are."""
    for index in range(settings.clips):
        shot = _reference_shot(settings, index)
        yield _film_window(settings, shot), shot.scene.merged_caption, float(shot.fps)


def render_images(settings: ImagesSettings, out: Path, *, progress: Progress = silent) -> None:
    """Write clean images: `out/images.safetensors` {"images": uint8 (N, 3, H, W)} and `out/captions.json`."""
    images, captions = [], []
    for first in range(0, settings.images, 256):
        indices = range(first, min(first + 256, settings.images))
        some_images, some_captions = image_pairs("images", indices, settings.seed, settings.resolution)
        images.append(some_images.numpy())
        captions.extend(some_captions)
        progress(indices.stop, settings.images)
    save_file({"images": np.concatenate(images)}, out / "images.safetensors")
    (out / "captions.json").write_text(json.dumps(captions, indent=1) + "\n")


def truth(sources: Iterable[Source]) -> pl.DataFrame:
    """One row a shot: where it lies, how it begins, and what was planted in it."""
    rows = []
    for source in sources:
        for number, (shot, (start, end)) in enumerate(zip(source.shots, source.spans, strict=True)):
            severities = {kind: getattr(shot.defects, kind) for kind in KINDS}
            rows.append(
                {
                    "source": source.name,
                    "shot": number,
                    "start_frame": start,
                    "end_frame": end,
                    "fps": float(source.fps),
                }
                | {"transition": shot.begins}
                | {kind: severity is not None for kind, severity in severities.items()}
                | {f"severity_{kind}": severity for kind, severity in severities.items()}
                | {"good": shot.defects.good, "true_caption": shot.scene.merged_caption}
            )
    return pl.DataFrame(rows, schema_overrides={f"severity_{kind}": pl.Float64 for kind in KINDS})


def _render_source(videos: Path, source: Source) -> None:
    """Write one video and then its captions: a video with captions beside it is whole."""
    video = videos / source.name
    sidecar = video.with_suffix(".json")
    if video.exists() and sidecar.exists():
        return
    write_h264(video, film_source(source), source.fps)
    half_written = sidecar.with_name(f"{sidecar.name}.half")
    half_written.write_text(json.dumps({"captions": _captions(source)}, indent=1))
    half_written.replace(sidecar)


def _captions(source: Source) -> list[dict[str, object]]:
    return [
        {
            "start_s": round(start / source.fps, 6),
            "end_s": round(end / source.fps, 6),
            "image": shot.told.image_caption,
            "video": shot.told.video_caption,
            "merged": shot.told.merged_caption,
        }
        for shot, (start, end) in zip(source.shots, source.spans, strict=True)
    ]


def _reference_shot(settings: ReferenceSettings, index: int) -> Shot:
    rng = random_stream(settings.seed, "toy_lvd/reference", index)
    return draw_shot(rng, int(rng.choice(settings.frame_rates or FRAME_RATES)), Defects())


def _film_window(settings: ReferenceSettings, shot: Shot) -> NDArray[np.uint8]:
    """Encode one shot as a video of its own, decode it and take its training window, (T, H, W, 3)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_h264(path, film_source(Source(path.name, shot.fps, (shot,))), shot.fps)
        with Video(path) as video:
            images = [frame.image for frame in video]
    return training_window(images, settings.frames, settings.resolution)


def _in_processes(work: Callable[[Work], Result], items: list[Work], workers: int) -> Iterator[Result]:
    """Results in the order of `items`, from this process or from `workers` others."""
    if workers == 1:
        yield from map(work, items)
        return
    with worker_pool(workers) as pool:
        yield from pool.map(work, items, chunksize=4)
