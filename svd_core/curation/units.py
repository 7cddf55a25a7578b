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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from svd_core.curation import aesthetics, motion, text_area
from svd_core.curation.clips import CuratedVideo, Row, curate_video, rejected
from svd_core.curation.listing import Listed, stamp
from svd_core.curation.parts import PART_SCHEMA, looks
from svd_core.curation.table import SCHEMA, TRANSITIONS, write_table
from svd_core.data.processes import Isolated, ProcessDied
from svd_core.data.shards import add_member
from svd_core.settings import VideoCurationSettings

VERSION = 1
"""Raise it when the same video and settings give another clip table or other clips."""
VIDEOS_PER_UNIT = 16
ATTEMPTS = 2
"""A video whose process dies this often is rejected; once may be somebody else's doing."""
UNIT_SCHEMA = {name: kind for name, kind in PART_SCHEMA.items() if name != "window"}
FILES = re.compile(r"\d+-[0-9a-f]+\.(tar|json|clips\.parquet|transitions\.parquet)")


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
    def shard(self) -> Path:
        return self.folder / f"{self.name}.tar"

    @property
    def manifest(self) -> Path:
        return self.folder / f"{self.name}.json"

    def made_from(self, settings: VideoCurationSettings) -> dict[str, object]:
        """Everything that the unit's content depends on."""
        videos = [stamp(video) for video in self.videos]
        return {"version": VERSION, "settings": settings.model_dump(mode="json"), "videos": videos}

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


def make_unit(settings: VideoCurationSettings, text_weights: Path, unit: Unit, worker: Isolated) -> None:
    """Curate a unit's videos, each in `worker`'s process, and write shard, tables and manifest."""
    with _scratch(unit) as scratch:
        made = [
            _isolated(settings, text_weights, video, scratch / f"{number}", worker)
            for number, video in enumerate(unit.videos)
        ]
        rows = [row for video in made for row in video.rows]
        files = [file for video in made for file in video.files]
        order = sorted(range(len(rows)), key=lambda index: str(rows[index]["clip_id"]))
        rows = _write_shard(unit, [rows[i] for i in order], [files[i] for i in order], scratch)
        transitions = [transition for video in made for transition in video.transitions]
        write_table(pl.DataFrame(transitions, schema=TRANSITIONS), unit.transitions, scratch=scratch)
        write_table(pl.DataFrame(rows, schema=UNIT_SCHEMA), unit.clips, scratch=scratch)
        sizes = {path.name: path.stat().st_size for path in (unit.shard, unit.clips, unit.transitions)}
        manifest = {"made_from": unit.made_from(settings), "files": sizes}
        half_written = scratch / unit.manifest.name
        half_written.write_text(json.dumps(manifest, indent=1) + "\n")
        half_written.replace(unit.manifest)


def merge(made: list[Unit], settings: VideoCurationSettings, out: Path) -> pl.DataFrame:
    """Write `clips.parquet` and `transitions.parquet` from the units' tables; drop the files of former units."""
    table = pl.concat([pl.read_parquet(unit.clips) for unit in made])
    is_clip = table["error"].is_null()
    scores = aesthetics.typical_looks(looks(table.filter(is_clip)), settings.aesthetics_over_frames)
    clips = table.filter(is_clip).with_columns(pl.Series("aesthetics", scores, dtype=pl.Float64))
    rows = pl.concat([clips, table.filter(~is_clip)]).sort("clip_id").select(SCHEMA.keys())
    with _scratch(made[0]) as scratch:
        transitions = pl.concat([pl.read_parquet(unit.transitions) for unit in made]).sort("source", "frame")
        write_table(transitions, out / "transitions.parquet", scratch=scratch)
        write_table(rows, out / "clips.parquet", scratch=scratch, methods=_methods(settings))
    current = {unit.name for unit in made}
    for path in (out / "shards").iterdir():
        if FILES.fullmatch(path.name) and path.name.partition(".")[0] not in current:
            path.unlink(missing_ok=True)
    return rows


def _isolated(
    settings: VideoCurationSettings, text_weights: Path, video: Listed, folder: Path, worker: Isolated
) -> CuratedVideo:
    """A video's clips from a process that it may crash; its clip ids told apart."""
    death = ""
    for _ in range(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            result: CuratedVideo = worker.call(curate_video, settings, text_weights, video, folder)
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


def _methods(settings: VideoCurationSettings) -> dict[str, str]:
    text = f"{text_area.METHOD}, shortest side {settings.text_side} px"
    return {
        "motion": motion.METHOD,
        "text_area": f"{text}, {settings.text_over_frames} of 3 frames",
        "aesthetics": f"{aesthetics.METHOD}, {settings.aesthetics_over_frames} of 3 frames",
    }
