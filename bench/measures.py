"""
The metrics of single clips by name, as `ablate score` calls them: one clip, its partner or its text at a time.

A new one is a line here and one in `bench.settings.METRICS`. Each entry makes its measure, loading what it needs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.folders import Sampling, Spread, VideoFile
from bench.metrics.clip_score import clip_scores
from bench.metrics.clip_similarity import cosines
from bench.metrics.dynamic_degree import dynamic
from bench.metrics.lpips import network
from bench.metrics.pairs import Measure
from bench.metrics.pixels import psnrs, ssims
from bench.metrics.subject_consistency import consistency
from bench.metrics.temporal import smoothness, steadiness
from svd_core.data.video import VideoError
from svd_core.encoders import weights

Clip = NDArray[np.uint8]
"""One clip, uint8 (T, 3, H, W)."""
ClipValue = tuple[str, int, str, float]
"""File, number of the clip in it, metric, value."""

OfClip = Callable[[Clip], float]
OfPair = Callable[[Clip, Clip], float]
"""Of a generated clip and the real one of the same name, equal in shape."""
OfText = Callable[[Clip, str], float]


def _dynamic_degree() -> OfClip:
    return lambda clip: float(dynamic(clip[None])[0])


def _clip_score() -> OfText:
    from svd_core.encoders.clip import Clip as ClipEncoder  # here, because transformers takes seconds to import

    encoder = ClipEncoder.load(weights.locate("clip"))
    return lambda clip, text: float(clip_scores(encoder, clip[None], [text])[0])


def _subject_consistency() -> OfClip:
    from svd_core.encoders.dino import Dino

    return partial(consistency, Dino.load(weights.locate("dino")))


def _clip_similarity() -> OfPair:
    from svd_core.encoders.clip import Clip as ClipEncoder

    return _of_pair(cosines(ClipEncoder.load(weights.locate("clip"))))


def _of_pair(measure: Measure) -> OfPair:
    """The mean over frames of a measure of float images."""
    return lambda a, b: float(measure(*(torch.from_numpy(clip).float() / 255 for clip in (a, b))).double().mean())


OF_CLIPS: dict[str, Callable[[], OfClip]] = {
    "dynamic_degree": _dynamic_degree,
    "temporal_flicker": lambda: steadiness,
    "motion_smoothness": lambda: smoothness,
    "subject_consistency": _subject_consistency,
}
OF_PAIRS: dict[str, Callable[[], OfPair]] = {
    "lpips": lambda: _of_pair(network("alex").distances),
    "lpips_vgg16": lambda: _of_pair(network("vgg16").distances),
    "psnr": lambda: _of_pair(psnrs),
    "ssim": lambda: _of_pair(ssims),
    "clip_similarity": _clip_similarity,
}
OF_TEXTS: dict[str, Callable[[], OfText]] = {"clip_score": _clip_score}


def clip_values(
    name: str,
    sampling: Sampling,
    generated: Sequence[VideoFile],
    real: Sequence[VideoFile],
    texts: Mapping[str, str] | None,
    *,
    spread: Spread = map,
    tick: Callable[[], None] = lambda: None,
) -> list[ClipValue]:
    """One metric's value of each generated clip. Raises VideoError, naming file and clip, where there is none."""
    partner = partners(real, generated) if name in OF_PAIRS else {}
    rows: list[ClipValue] = []
    found = spread(partial(file_values, name, sampling, partner, texts or {}), generated)
    for file, values in zip(generated, found, strict=True):
        rows += [(file.name, number, name, value) for number, value in enumerate(values)]
        tick()
    return rows


def file_values(
    name: str, sampling: Sampling, partner: Mapping[str, VideoFile], texts: Mapping[str, str], file: VideoFile
) -> list[float]:
    """The values of one file's clips."""
    clips = _clips(sampling, file)
    beside: Iterable[Any] = repeat(None)
    if name in OF_PAIRS:
        beside = _clips(sampling, partner[file.name])
    elif name in OF_TEXTS:
        beside = repeat(texts[file.name])
    values: list[float] = []
    try:
        values.extend(measure(name)(clip, other) for clip, other in zip(clips, beside, strict=False))
    except VideoError:
        raise
    except ValueError as error:
        raise VideoError(file.path, f"clip {len(values)}: {error}") from error
    return values


@cache
def measure(name: str) -> Callable[[Clip, Any], float]:
    """A metric's measure of a clip and what is beside it, loaded once a process."""
    if name in OF_CLIPS:
        of_clip = OF_CLIPS[name]()
        return lambda clip, nothing: of_clip(clip)
    return OF_PAIRS[name]() if name in OF_PAIRS else OF_TEXTS[name]()


def partners(real: Sequence[VideoFile], generated: Sequence[VideoFile]) -> dict[str, VideoFile]:
    """The real video of each generated one, by name without suffix. Raises ValueError where the sets do not match."""
    theirs, ours = ({Path(file.name).with_suffix("").as_posix(): file for file in files} for files in (real, generated))
    if theirs.keys() != ours.keys():
        alone = min(theirs.keys() ^ ours.keys())
        raise ValueError(
            f"paired metrics need one real video for each generated one, by name: {len(real)} real and "
            f"{len(generated)} generated, and {alone!r} is on one side only"
        )
    return {file.name: theirs[stem] for stem, file in ours.items()}


def _clips(sampling: Sampling, file: VideoFile) -> Iterator[Clip]:
    for clip in sampling.clips(file):
        if sampling.protocol.crop is None:
            yield clip
        else:
            cropped = sampling.protocol.cropped(torch.from_numpy(clip).float())
            yield cropped.round().clamp(0, 255).to(torch.uint8).numpy()
