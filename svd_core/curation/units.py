"""`ablate curate`: videos to clip table and shards. A unit is a few videos, and becomes one shard with its manifest.

Units are told by a hash of the videos' identifiers, so a video added or changed costs its own unit and no other. A
unit's manifest is written last: present and fitting means done. Whoever makes a unit again gives it the same bytes, so
any number of processes or machines may work on one folder and be killed at any moment.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from svd_core.curation import annotation, camera, scores
from svd_core.curation.clips import CuratedVideo, Row, curate_video, rejected, view_file
from svd_core.curation.listing import Listed, SourceError, stamp
from svd_core.curation.motion import motion
from svd_core.curation.settings import AnnotationSettings, VideoCurationSettings
from svd_core.curation.table import CAPTIONS, SCHEMA, TRANSITIONS, write_table
from svd_core.data.processes import Crew, ProcessDied
from svd_core.data.shards import add_member
from svd_core.encoders import weights

VERSION = 2
"""Raise it when the same video and settings give another clip table or other clips."""
VIDEOS_PER_UNIT = 16
ATTEMPTS = 2
"""A video whose process dies this often is rejected; once may be somebody else's doing."""
UNIT_SCHEMA = {name: kind for name, kind in SCHEMA.items() if name not in scores.ANNOTATED or name in CAPTIONS}
FILES = re.compile(r"\d+-[0-9a-f]+\.(tar|json|(clips|frames|scores|transitions)\.parquet)")


@dataclass(frozen=True)
class Unit:
    """Videos that are curated together into `folder`, under one name."""

    name: str
    videos: tuple[Listed, ...]
    folder: Path

    @property
    def clips(self) -> Path:
        return self.folder / f"{self.name}.clips.parquet"

    @property
    def transitions(self) -> Path:
        return self.folder / f"{self.name}.transitions.parquet"

    @property
    def frames(self) -> Path:
        return self.folder / f"{self.name}.frames.parquet"

    @property
    def scores(self) -> Path:
        return self.folder / f"{self.name}.scores.parquet"

    @property
    def shard(self) -> Path:
        return self.folder / f"{self.name}.tar"

    @property
    def manifest(self) -> Path:
        return self.folder / f"{self.name}.json"

    def made_from(self, settings: VideoCurationSettings) -> dict[str, object]:
        """Everything that the unit's content depends on."""
        videos = [stamp(video) for video in self.videos]
        raft = weights.described("raft") if settings.motion == "raft" else None
        return {"version": VERSION, "settings": settings.model_dump(mode="json"), "raft": raft, "videos": videos}

    def done(self, settings: VideoCurationSettings) -> bool:
        """Whether it is there, whole, and made from these videos and settings."""
        try:
            manifest = json.loads(self.manifest.read_text())
            sizes = {name: (self.folder / name).stat().st_size for name in manifest["files"]}
        except (OSError, ValueError, KeyError):
            return False
        return bool(manifest["made_from"] == self.made_from(settings) and manifest["files"] == sizes)


def units(videos: list[Listed], out: Path) -> list[Unit]:
    """Share videos out by the leading bits of their identifiers' hashes, about `VIDEOS_PER_UNIT` to a unit."""
    bits = max(0, (len(videos) - 1) // VIDEOS_PER_UNIT).bit_length()
    shares: dict[str, list[Listed]] = {}
    for video in videos:
        digest = hashlib.blake2b(video.identifier.encode(errors="surrogateescape"), digest_size=4).digest()
        share = int.from_bytes(digest) >> (32 - bits)
        shares.setdefault(f"{bits}-{share:0{max(1, -(-bits // 4))}x}", []).append(video)
    return [Unit(name, tuple(shares[name]), out / "shards") for name in sorted(shares)]


def kept_units(out: Path) -> tuple[VideoCurationSettings, list[Unit]]:
    """The units that an earlier run left, and the settings that it had. Raises SourceError where there are none."""
    manifests = sorted(path for path in (out / "shards").glob("*.json") if FILES.fullmatch(path.name))
    if not manifests:
        raise SourceError(f"{out} holds nothing that `ablate curate` made: no manifests of units in its shards")
    settings = json.loads(manifests[0].read_text())["made_from"]["settings"]
    made = [Unit(path.stem, (), path.parent) for path in manifests]
    return VideoCurationSettings.model_validate_json(json.dumps(settings)), made


def check_weights(settings: VideoCurationSettings, annotations: AnnotationSettings) -> None:
    """Raise MissingWeights, before anything runs, for what the settings ask for and is not here."""
    weights.locate("ppocr_det")
    if settings.refine != "no":
        weights.locate(settings.refine)
    _methods(settings, annotations)


def make_unit(settings: VideoCurationSettings, unit: Unit, crew: Crew) -> None:
    """Curate a unit's videos, each in a process of the crew, and write shard, frames, tables and manifest."""
    with _scratch(unit) as scratch:
        folders = [scratch / f"{number}" for number in range(len(unit.videos))]
        with ThreadPoolExecutor(len(crew.processes)) as threads:
            made = list(threads.map(partial(_isolated, settings, crew), unit.videos, folders))
        rows = [row for video in made for row in video.rows]
        files = [file for video in made for file in video.files]
        order = sorted(range(len(rows)), key=lambda index: str(rows[index]["clip_id"]))
        rows = _write_shard(unit, [rows[i] for i in order], [files[i] for i in order], scratch)
        views = {str(rows[place]["clip_id"]): files[i] for place, i in enumerate(order)}
        _write_frames(unit, views, scratch)
        transitions = [transition for video in made for transition in video.transitions]
        write_table(pl.DataFrame(transitions, schema=TRANSITIONS), unit.transitions, scratch=scratch)
        write_table(pl.DataFrame(rows, schema=UNIT_SCHEMA), unit.clips, scratch=scratch)
        sizes = {path.name: path.stat().st_size for path in (unit.shard, unit.frames, unit.clips, unit.transitions)}
        manifest = {"made_from": unit.made_from(settings), "files": sizes}
        half_written = scratch / unit.manifest.name
        half_written.write_text(json.dumps(manifest, indent=1) + "\n")
        half_written.replace(unit.manifest)


def score_unit(settings: AnnotationSettings, unit: Unit, crew: Crew) -> None:
    """Write the scores of a unit that is there, if they are not there yet, in a process of the crew."""
    wanted = scores.made_from(settings, unit.manifest)
    if scores.fit(unit.scores, wanted):
        return
    rows = crew.call(scores.annotate, settings, unit.frames, unit.clips)
    with _scratch(unit) as scratch:
        write_table(pl.DataFrame(rows, schema=scores.SCORES_SCHEMA), unit.scores, scratch=scratch, methods=wanted)


def merge(
    made: list[Unit], settings: VideoCurationSettings, annotations: AnnotationSettings, out: Path
) -> pl.DataFrame:
    """Write `clips.parquet` and `transitions.parquet` from the units' tables; drop the files of former units."""
    table = pl.concat([pl.read_parquet(unit.clips) for unit in made]).drop(CAPTIONS)
    annotated = scores.finish(pl.concat([pl.read_parquet(unit.scores) for unit in made]), annotations)
    rows = table.join(annotated, on="clip_id", how="left").sort("clip_id").select(SCHEMA.keys())
    with _scratch(made[0]) as scratch:
        transitions = pl.concat([pl.read_parquet(unit.transitions) for unit in made]).sort("source", "frame")
        write_table(transitions, out / "transitions.parquet", scratch=scratch)
        write_table(rows, out / "clips.parquet", scratch=scratch, methods=_methods(settings, annotations))
    current = {unit.name for unit in made}
    for path in (out / "shards").iterdir():
        if FILES.fullmatch(path.name) and path.name.partition(".")[0] not in current:
            path.unlink(missing_ok=True)
    return rows


def _isolated(settings: VideoCurationSettings, crew: Crew, video: Listed, folder: Path) -> CuratedVideo:
    """A video's clips from a process that it may crash; its clip ids told apart."""
    death = ""
    for _ in range(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            result: CuratedVideo = crew.call(curate_video, settings, video, folder)
        except ProcessDied as error:
            death = str(error)
            continue
        return result
    return rejected(video, f"the process that decoded it died ({death}), {ATTEMPTS} times of {ATTEMPTS}")


def _write_shard(unit: Unit, rows: list[Row], files: list[Path | None], scratch: Path) -> list[Row]:
    """Put the clips' files and descriptions into the unit's tar; the rows say where each lies."""
    half_written = scratch / unit.shard.name
    placed = []
    with tarfile.open(half_written, "w", format=tarfile.PAX_FORMAT) as tar:
        for row, file in zip(rows, files, strict=True):
            if file is None:
                placed.append(row)
                continue
            offset, size = add_member(tar, f"{row['clip_id']}{file.suffix}", file.read_bytes())
            described = {name: row.get(name) for name in DESCRIBED}
            add_member(tar, f"{row['clip_id']}.json", json.dumps(described, sort_keys=True).encode())
            file.unlink()
            placed.append(row | {"shard": f"shards/{unit.shard.name}", "offset": offset, "size": size})
    half_written.replace(unit.shard)
    return placed


def _write_frames(unit: Unit, files: dict[str, Path | None], scratch: Path) -> None:
    """Gather what is kept of the clips, in the order of the table."""
    half_written = scratch / unit.frames.name
    scores.write_frames(half_written, {clip_id: view_file(file) for clip_id, file in files.items() if file is not None})
    half_written.replace(unit.frames)


DESCRIBED = (
    "source", "start_s", "end_s", "num_frames", "fps", "width", "height", "caption_image", "caption_video", "caption",
)  # fmt: skip
"""What a sample's .json in the shard tells about its clip."""


@contextmanager
def _scratch(unit: Unit) -> Iterator[Path]:
    """A folder of this process for half-written files; what dead processes of this machine left is cleared away."""
    host = socket.gethostname()
    unit.folder.mkdir(parents=True, exist_ok=True)
    for left in unit.folder.glob(f".{unit.name}.{host}.*"):
        if not Path("/proc", left.suffix[1:]).exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = unit.folder / f".{unit.name}.{host}.{os.getpid()}"
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _methods(settings: VideoCurationSettings, annotations: AnnotationSettings) -> dict[str, str]:
    raft = f", {weights.described('raft')}" if settings.motion == "raft" else ""
    return {
        "motion": f"{motion(settings.motion).method}{raft}, version {VERSION}",
        "camera_motion": f"{camera.METHOD}, version {VERSION}",
        **annotation.methods(annotations),
    }
