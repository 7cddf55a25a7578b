"""One source video to its clips: a single decode feeds cut detection, scores and training windows."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from svd_core.curation.aesthetics import measures
from svd_core.curation.alignment import ImageTextEncoder, alignment
from svd_core.curation.cuts import Cascade
from svd_core.curation.keyframes import keyframes, over_frames
from svd_core.curation.motion import motion_score
from svd_core.curation.settings import CurationSettings
from svd_core.curation.shots import Shot, shots
from svd_core.curation.text_area import TextDetector
from svd_core.curation.transitions import Transition
from svd_core.data.video import Image, Video, VideoError, training_window

LONGEST_ID = 160


class Caption(BaseModel):
    """What a caption service says about a stretch of a source: for the middle frame, the clip, and both merged."""

    start_s: float
    end_s: float
    image: str
    video: str
    merged: str


class Sidecar(BaseModel):
    """The .json beside a source."""

    captions: list[Caption]

    def at(self, start_s: float, end_s: float) -> Caption | None:
        """The caption that overlaps the stretch most; null when none does."""
        overlap, caption = max(
            ((min(end_s, c.end_s) - max(start_s, c.start_s), c) for c in self.captions),
            key=lambda pair: pair[0],
            default=(0.0, None),
        )
        return caption if overlap > 0 else None


@dataclass(frozen=True)
class Scorers:
    """The networks that look at a clip's first, middle and last frame."""

    text: TextDetector
    encoder: ImageTextEncoder


@dataclass
class Clip:
    """One clip as it leaves its source: table columns, training window (T, H, W, 3), raw looks (3 frames, measures)."""

    row: dict[str, object]
    window: NDArray[np.uint8]
    looks: NDArray[np.float64]


@dataclass
class CuratedSource:
    """What one source gave. `error` says why it was rejected; then it has no clips and no transitions."""

    source: str
    clips: list[Clip] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    error: str | None = None


def curate_source(settings: CurationSettings, path: Path, scorers: Scorers) -> CuratedSource:
    """Clips of one video with their scores, or the reason why there are none."""
    try:
        sidecar = read_sidecar(path.with_suffix(".json"))
        with Video(path) as video:
            cascade = Cascade(video.fps)
            clips = [
                _clip(settings, path, video, shot, sidecar, scorers)
                for shot in shots(video, cascade, settings.max_clip_s)
                if _long_enough(settings, video, shot)
            ]
    except (VideoError, ValidationError, OSError) as error:
        return CuratedSource(path.name, error=f"{type(error).__name__}: {error}")
    return CuratedSource(path.name, clips, cascade.found)


def source_id(source: str) -> str:
    """A source's name without .mp4, escaped so that it holds neither dot nor slash (WebDataset keys end at a dot).

    Names that would not fit into a file name end in a hash.
    """
    name = quote(source.removesuffix(".mp4"), safe="", errors="surrogateescape").replace(".", "%2E")
    if len(name) <= LONGEST_ID:
        return name
    return f"{name[: LONGEST_ID // 2]}~{hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"


def clip_id(source: str, start_s: float) -> str:
    """Name of a clip that does not change when others are split differently: its source and start in milliseconds."""
    return f"{source_id(source)}-{round(start_s * 1000):07d}"


def read_sidecar(path: Path) -> Sidecar:
    """The captions beside a source, none where there is no such file. Raises ValidationError for anything else."""
    return Sidecar.model_validate_json(path.read_bytes()) if path.exists() else Sidecar(captions=[])


def _long_enough(settings: CurationSettings, video: Video, shot: Shot) -> bool:
    seconds = (shot.end_pts - shot.pts[0]) * video.time_base
    return seconds >= settings.min_clip_s and len(shot.images) >= settings.frames


def _clip(settings: CurationSettings, path: Path, video: Video, shot: Shot, sidecar: Sidecar, scorers: Scorers) -> Clip:
    looked_at = keyframes(shot.images)
    text = scorers.text.covered(looked_at)
    row = _place(path.name, video, shot)
    row["motion"] = motion_score(shot.images, video.fps)
    row["text_area"] = over_frames(text.mean(axis=(1, 2)), settings.text_over_frames)
    caption = sidecar.at(*(float(pts * video.time_base) for pts in (shot.pts[0], shot.end_pts)))
    if caption is not None:
        row |= {"caption_image": caption.image, "caption_video": caption.video, "caption": caption.merged}
        row["alignment"] = _alignment(scorers.encoder, looked_at, caption, settings)
    looks = np.stack([measures(frame, covered) for frame, covered in zip(looked_at, text, strict=True)])
    return Clip(row, training_window(shot.images, settings.frames, settings.resolution), looks)


def _place(source: str, video: Video, shot: Shot) -> dict[str, object]:
    start_s, end_s = (float(pts * video.time_base) for pts in (shot.pts[0], shot.end_pts))
    return {
        "clip_id": clip_id(source, start_s),
        "source": source,
        "start_s": start_s,
        "end_s": end_s,
        "start_pts": shot.pts[0],
        "end_pts": shot.end_pts,
        "time_base": str(video.time_base),
        "num_frames": len(shot.images),
        "fps": video.fps,
        "width": video.width,
        "height": video.height,
    }


def _alignment(
    encoder: ImageTextEncoder, looked_at: list[Image], caption: Caption, settings: CurationSettings
) -> float | None:
    """Null where the encoder knows no word of a caption: no score is better than a made-up one."""
    try:
        cosines = alignment(encoder, looked_at, [caption.image, caption.video, caption.merged])
    except ValueError:
        return None
    return over_frames(cosines, settings.alignment_over_frames)
