"""Sampled videos side by side: one sheet of frames a run, which the page moves through in step.

A sheet has a row a clip and a column a frame. It is an AVIF with full colour resolution: what looks like an artefact of
compression would be taken for one of the model, and halved colour is one at 32 pixels.
"""

import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablations.report.clips import per_clip, prompts, real, sampled
from ablations.report.findings import Findings
from ablations.report.wording import number

FOLDER = "gallery"
BYTES = 200_000
"""What all sheets together may take, so that a report can be committed: seeds beyond it are left out, then prompts."""
QUALITY = 80
"""36 to 38 dB of PSNR on 32-pixel samples, a sixth of what a lossless sheet takes."""
LONGEST = 256
"""Pixels: larger frames are shown at this width or height."""

Files = dict[str, bytes]
"""Name to content of files that are not written yet."""


@dataclass(frozen=True)
class Sheet:
    """One column of the gallery. `file` is null, with a reason, for a run that has no samples.

    `notes` holds what the per-clip metrics say, one text a clip.
    """

    label: str
    colour: str | None
    file: str | None
    clips: int = 0
    frames: int = 0
    width: int = 1
    height: int = 1
    notes: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class Extremes:
    """The clips with the best and worst values of one metric: a sheet an arm, one clip a title."""

    label: str
    titles: tuple[str, ...]
    sheets: tuple[Sheet, ...]


@dataclass(frozen=True)
class Gallery:
    """The same prompts under each seed: `seeds` maps a seed to its columns, the real clips first."""

    prompts: tuple[str, ...]
    seeds: dict[int, tuple[Sheet, ...]]
    extremes: tuple[Extremes, ...] = ()

    @property
    def frames(self) -> int:
        """Frames of the longest clip."""
        return max((sheet.frames for sheets in self.seeds.values() for sheet in sheets), default=0)


def write_gallery(findings: Findings, folder: Path, count: int) -> Gallery | None:
    """Write the sheets of at most `count` prompts into `folder`/gallery; null if nothing was sampled.

    The sheets take at most `BYTES`: the first seed's with as many prompts as fit, then each further seed whole.
    """
    result = findings.result
    seeds = [seed for seed in result.seeds if any(run.samples for run in result.runs if run.seed == seed)]
    first = _first(findings, seeds[0], count) if seeds else None
    if first is None:
        return None
    texts, columns, files = first
    shown = {seeds[0]: columns}
    shared = columns[: len(columns) - len(result.arms)]
    for seed in seeds[1:]:
        found = _columns(findings, seed, len(texts), LONGEST, BYTES - _size(files))
        if found is None:
            break
        more, added = found
        shown[seed] = (*shared, *more)
        files |= added
    (folder / FOLDER).mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return Gallery(texts, shown)


def _first(findings: Findings, seed: int, count: int) -> tuple[tuple[str, ...], tuple[Sheet, ...], Files] | None:
    """Prompts, columns and files of the first seed: fewer prompts, then smaller frames, until it fits."""
    texts = tuple(prompts(findings.result, count))
    longest = LONGEST
    while texts and longest:
        columns: tuple[Sheet, ...] = ()
        files: Files = {}
        clips = real(findings.result, len(texts))
        if clips is not None:
            sheet, files = sheet_of(f"{FOLDER}/real.avif", clips, Sheet("real clip", None, None), longest)
            columns = (sheet,)
        found = _columns(findings, seed, len(texts), longest, BYTES - _size(files))
        if found is not None:
            return texts, (*columns, *found[0]), files | found[1]
        texts, longest = (texts[: len(texts) // 2], longest) if len(texts) > 1 else (texts, longest // 2)
    return None


def _size(files: Files) -> int:
    return sum(map(len, files.values()))


def _columns(
    findings: Findings, seed: int, count: int, longest: int, budget: int
) -> tuple[tuple[Sheet, ...], Files] | None:
    """One seed's sheets of every arm; null as soon as they take more than `budget` bytes."""
    columns: list[Sheet] = []
    files: Files = {}
    for place, (arm, style) in enumerate(findings.styles.items()):
        run = findings.result.run(arm, seed)
        clips = sampled(run, count)
        if clips is None:
            columns.append(Sheet(arm, style.colour, None, reason=run.missing or "no samples"))
            continue
        values = per_clip(run, findings.result.metrics, count)
        notes = tuple(", ".join(f"{findings.name(m)} {number(v, 2)}" for m, v in clip.items()) for clip in values)
        name = f"{FOLDER}/{place:02d}-{slug(arm)}-seed{seed}.avif"
        sheet, added = sheet_of(name, clips, Sheet(arm, style.colour, None, notes=notes), longest)
        columns.append(sheet)
        files |= added
        if _size(files) > budget:
            return None
    return tuple(columns), files


def slug(name: str) -> str:
    """A name that is safe in every file system and address."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32]


def sheet_of(name: str, clips: NDArray[np.uint8], sheet: Sheet, longest: int) -> tuple[Sheet, Files]:
    """`sheet` with its file, of clips (N, T, 3, H, W)."""
    count, frames, _, height, width = clips.shape
    pixels = clips.transpose(0, 3, 1, 4, 2).reshape(count * height, frames * width, 3)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max(height, width) > longest:
        share = longest / max(height, width)
        height, width = max(1, round(share * height)), max(1, round(share * width))
        image = image.resize((frames * width, count * height), Image.Resampling.BOX)
    content = io.BytesIO()
    image.save(content, "AVIF", quality=QUALITY, subsampling="4:4:4", max_threads=1)
    whole = replace(sheet, file=name, clips=count, frames=frames, width=width, height=height)
    return whole, {name: content.getvalue()}
