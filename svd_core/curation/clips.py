"""One of anybody's videos to its clips: a single decode finds the cuts and looks at the picture twice a second."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from svd_core.curation.camera import camera_motion
from svd_core.curation.cuts import Cascade
from svd_core.curation.cutter import Cut, Cutter, inward
from svd_core.curation.eye import LOOKS_PER_S
from svd_core.curation.listing import Listed, local_file
from svd_core.curation.motion import Motion, motion
from svd_core.curation.refine import ChangeNetwork, Refined
from svd_core.curation.scan import Stretch, stretches
from svd_core.curation.settings import VideoCurationSettings
from svd_core.curation.source import clip_id, read_sidecar, source_id
from svd_core.curation.views import View
from svd_core.data.video import Video, VideoError
from svd_core.encoders.weights import locate

FRAME_RATES = (1.0, 240.0)
"""What the cascade believes: a container may announce anything."""

OUTSTANDING = 1.5
"""How far a hard cut must stand out of the motion around it: cars that pass close by reach 1.0, real cuts 2.4."""
BLANK = 2.0
"""Standard deviation, in levels, of a picture that shows nothing: what fades from and to black or white leave over."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The disk's fault, not the video's."""

Row = dict[str, object]


@dataclass
class CuratedVideo:
    """Rows of the clip table, the clips' files, null for rejected ones, and transitions.

    Beside a clip's file lie the frames that are kept of it (`view_file`).
    """

    rows: list[Row] = field(default_factory=list)
    files: list[Path | None] = field(default_factory=list)
    transitions: list[Row] = field(default_factory=list)


def curate_video(
    settings: VideoCurationSettings, video: Listed, folder: Path, *, beat: Callable[[], None]
) -> CuratedVideo:
    """Clips of one video, their files under `folder`; one row with an error where it cannot be read to its end."""
    try:
        if video.error is not None:
            return rejected(video, video.error)
        with local_file(video, folder) as path, Video(path) as opened:
            return _curate(settings, video, opened, folder, beat)
    except Exception as error:  # whatever is wrong with one video is its row's business, and no other's
        if getattr(error, "errno", None) in FULL:
            raise
        return rejected(video, f"{type(error).__name__}: {error}")


def rejected(video: Listed, error: str) -> CuratedVideo:
    """The one row of a video without clips."""
    return CuratedVideo([{"clip_id": source_id(video.identifier), "source": video.source, "error": error}], [None])


def _curate(
    settings: VideoCurationSettings,
    listed: Listed,
    video: Video,
    folder: Path,
    beat: Callable[[], None],
) -> CuratedVideo:
    if video.width * video.height > settings.max_pixels:
        raise VideoError(video.path, f"has {video.width}×{video.height} pixels, over max_pixels {settings.max_pixels}")
    result = CuratedVideo()
    cascade = _cascade(settings, video.fps)
    cutter = Cutter(video.path)
    try:
        for number, stretch in enumerate(_scan(settings, video, cascade, beat)):
            row = _place(listed, video, stretch.pts[0], stretch.end_pts, len(stretch.pts))
            cut, error = _cut(settings, cutter, stretch, video, folder / f"{number:06d}")
            if cut is not None:
                row |= _place(listed, video, cut.start_pts, cut.end_pts, cut.num_frames)
                images = stretch.seen(cut.start_pts, cut.end_pts) or stretch.seen(cut.start_pts, stretch.end_pts)
                row |= {"motion": _motion(settings.motion).over(images), "camera_motion": camera_motion(images)}
                view_file(cut.path).write_bytes(View.of(images).to_bytes())
                row |= _captions(listed, video.path, row)
            result.rows.append(row | {"error": error})
            result.files.append(cut.path if cut else None)
    finally:
        cutter.close()
    result.transitions = [{"source": listed.source, "frame": t.frame, "kind": t.kind} for t in cascade.found]
    return result if result.rows else rejected(listed, f"{video.path}: nothing lies between its transitions")


def _cascade(settings: VideoCurationSettings, fps: float) -> Cascade | Refined:
    cascade = Cascade(min(max(fps, FRAME_RATES[0]), FRAME_RATES[1]), outstanding=OUTSTANDING, ends=True)
    return cascade if settings.refine == "no" else Refined(cascade, _network())


@cache
def _network() -> ChangeNetwork:
    import torch

    from svd_core.encoders.transnetv2 import TransNetV2

    torch.set_num_threads(1)
    return TransNetV2.load(locate("transnetv2"))


def _scan(
    settings: VideoCurationSettings, video: Video, cascade: Cascade | Refined, beat: Callable[[], None]
) -> Iterator[Stretch]:
    copied = settings.clips == "copy"
    return stretches(video, cascade, max_s=settings.max_clip_s, trim_s=settings.trim_s, at_keyframes=copied, beat=beat)


def _cut(
    settings: VideoCurationSettings, cutter: Cutter, stretch: Stretch, video: Video, stem: Path
) -> tuple[Cut | None, str | None]:
    """The clip's file, or the reason why there is none."""
    seconds = float((stretch.end_pts - stretch.pts[0]) * video.time_base)
    if seconds < settings.min_clip_s:
        return None, f"lasts {seconds:.3f} s, under min_clip_s {settings.min_clip_s:g}"
    if settings.clips == "encode":
        span: tuple[int, int] | None = (stretch.pts[0], stretch.end_pts)
    else:
        span = inward(stretch)
    if span is None:
        return None, f"has no two keyframes within its {seconds:.3f} s to copy between; `encode` needs none"
    between = float((span[1] - span[0]) * video.time_base)
    if between < settings.min_clip_s:
        return None, f"lasts {between:.3f} s between its keyframes, under min_clip_s {settings.min_clip_s:g}"
    images = stretch.seen(*span)
    if not images:
        return None, f"lasts {between:.3f} s, too short for pictures {LOOKS_PER_S} times a second"
    if max(float(image.std()) for image in images) < BLANK:
        return None, "is blank: a single flat colour"
    cut = cutter.encode(stretch, stem) if settings.clips == "encode" else cutter.copy(stretch, *span, stem)
    return cut, None


def _place(listed: Listed, video: Video, start_pts: int, end_pts: int, num_frames: int) -> Row:
    """Where a clip lies. `fps` is its own mean rate, which a stream of variable rate has no other of."""
    seconds = (end_pts - start_pts) * video.time_base
    return {
        "clip_id": clip_id(listed.identifier, float(start_pts * video.time_base)),
        "source": listed.source,
        "start_s": float(start_pts * video.time_base),
        "end_s": float(end_pts * video.time_base),
        "start_pts": start_pts,
        "end_pts": end_pts,
        "time_base": str(video.time_base),
        "num_frames": num_frames,
        "fps": float(num_frames / seconds),
        "width": video.shown_size[0],
        "height": video.shown_size[1],
    }


def _captions(listed: Listed, path: Path, row: Row) -> Row:
    """What the list says of the video, or else its sidecar: .json with stretches of time, or .txt for all of it."""
    if listed.captions or listed.member:
        return dict(listed.captions)
    if path.with_suffix(".json").exists():
        told = read_sidecar(path.with_suffix(".json")).at(float(str(row["start_s"])), float(str(row["end_s"])))
        return {"caption_image": told.image, "caption_video": told.video, "caption": told.merged} if told else {}
    text = path.with_suffix(".txt")
    return {"caption": text.read_text("utf-8-sig", "replace").strip()} if text.exists() else {}


@cache
def _motion(kind: str) -> Motion:
    return motion(kind)


def view_file(clip: Path) -> Path:
    """Where the kept frames of a clip's file lie."""
    return clip.with_name(f"{clip.name}.view")
