"""Sampled videos side by side: one sheet of frames a run, which the page moves through in step.

A sheet has a row a clip and a column a frame, at the clips' own size. Tiny clips are kept without loss: what looks like
an artefact of compression would be taken for one of the model.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ablations.report.clips import per_clip, prompts, real, sampled
from ablations.report.findings import Findings
from ablations.report.wording import number

FOLDER = "gallery"
BYTES = 800_000
"""What all sheets together may take, so that a report can be committed; seeds beyond it are left out, never prompts."""
TINY = 64
"""Pixels: clips at least this high are stored with loss, where it cannot be seen."""


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
class Gallery:
    """The same prompts under each seed: `seeds` maps a seed to its columns, the real clips first."""

    prompts: tuple[str, ...]
    seeds: dict[int, tuple[Sheet, ...]]

    @property
    def frames(self) -> int:
        """Frames of the longest clip."""
        return max((sheet.frames for sheets in self.seeds.values() for sheet in sheets), default=0)


def write_gallery(findings: Findings, folder: Path, count: int) -> Gallery | None:
    """Write the sheets of the first `count` prompts into `folder`/gallery; null if nothing was sampled."""
    result = findings.result
    texts = prompts(result, count)
    if not texts:
        return None
    (folder / FOLDER).mkdir()
    first: tuple[Sheet, ...] = ()
    reference = real(result, len(texts))
    if reference is not None:
        first = (_write(folder, "real.webp", reference, Sheet("real clip", None, None)),)
    seeds: dict[int, tuple[Sheet, ...]] = {}
    for seed in (s for s in result.seeds if any(run.samples for run in result.runs if run.seed == s)):
        columns = _columns(findings, folder, seed, len(texts))
        if seeds and sum(path.stat().st_size for path in (folder / FOLDER).iterdir()) > BYTES:
            for file in (sheet.file for sheet in columns if sheet.file):
                (folder / file).unlink()
            break
        seeds[seed] = (*first, *columns)
    return Gallery(tuple(texts), seeds)


def _columns(findings: Findings, folder: Path, seed: int, count: int) -> list[Sheet]:
    columns = []
    for place, (arm, style) in enumerate(findings.styles.items()):
        run = findings.result.run(arm, seed)
        clips = sampled(run, count)
        if clips is None:
            columns.append(Sheet(arm, style.colour, None, reason=run.missing or "no samples"))
            continue
        values = per_clip(run, findings.result.metrics, count)
        notes = tuple(", ".join(f"{findings.name(m)} {number(v, 2)}" for m, v in clip.items()) for clip in values)
        file = f"{place:02d}-{_slug(arm)}-seed{seed}.webp"
        columns.append(_write(folder, file, clips, Sheet(arm, style.colour, None, notes=notes)))
    return columns


def _slug(name: str) -> str:
    """A name that is safe in every file system and address."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32]


def _write(folder: Path, file: str, clips: NDArray[np.uint8], sheet: Sheet) -> Sheet:
    count, frames, _, height, width = clips.shape
    pixels = clips.transpose(0, 3, 1, 4, 2).reshape(count * height, frames * width, 3)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if height < TINY:
        image.save(folder / FOLDER / file, lossless=True, quality=70, method=1)
    else:
        image.save(folder / FOLDER / file, quality=90)
    return Sheet(sheet.label, sheet.colour, f"{FOLDER}/{file}", count, frames, width, height, sheet.notes)
