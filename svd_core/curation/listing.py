"""What SOURCE stands for: a folder, a glob, a manifest (csv or parquet), or WebDataset tars, as one list of videos.

A video's identifier is what it is sharded and named by: its path below the folder or the glob's fixed part, the path or
URL in a manifest as given, tar and member name in a WebDataset. Nothing is opened here but manifests and tars' headers.
"""

import glob
import os
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec
import polars as pl

SIDECARS = (".json", ".txt")
"""Captions beside a video of the same name; never taken for videos."""
MANIFESTS = (".csv", ".parquet")
PLACE_COLUMNS = ("source", "path", "url")
CAPTION_COLUMNS = ("caption", "caption_image", "caption_video")


class SourceError(ValueError):
    """SOURCE that cannot be listed: the message says what was found, and what would do."""


@dataclass(frozen=True)
class Listed:
    """One video: its identifier, the path or URL `source` as given, and what its list says about it.

    `member` is its (offset, size) inside the tar `source`'s path names. A video with an `error` is not read.
    """

    identifier: str
    source: str
    location: str
    captions: tuple[tuple[str, str], ...] = ()
    member: tuple[int, int] | None = None
    error: str | None = None


def list_videos(source: str) -> list[Listed]:
    """Every video of SOURCE, sorted by identifier; SourceError where there are none.

    Identifiers are unique: a second video of the same one keeps its place in the list, with an error.
    """
    path = Path(source)
    if path.is_dir():
        videos = list(_files(path, sorted(path.rglob("*"))))
    elif glob.has_magic(source) and not path.exists():
        videos = list(_matches(source))
    elif path.suffix in MANIFESTS or source.endswith(MANIFESTS):
        videos = list(_rows(source))
    elif source.endswith(".tar"):
        videos = list(_members(source))
    elif path.is_file() or "://" in source:
        videos = [Listed(path.name, source, source)]
    else:
        raise SourceError(f"{source}: no such folder, file or glob{_nearest(path)}")
    if not videos:
        raise SourceError(
            f"{source}: no videos there (hidden files and captions, {' or '.join(SIDECARS)}, do not count)"
        )
    return list(_told_apart(videos))


def stamp(video: Listed) -> list[object]:
    """What tells whether a video has changed since it was curated: identifier, captions, size and time of its files."""
    files = _states(Path(video.location))
    return [video.identifier, *map(list, video.captions), list(video.member or ()), *files]


def _states(path: Path) -> Iterator[int]:
    """Size and time of a file, and of what stands beside it."""
    for suffix in (path.suffix, *SIDECARS):
        with suppress(OSError, ValueError):
            status = path.with_suffix(suffix).stat()
            yield from (status.st_size, status.st_mtime_ns)


@contextmanager
def local_file(video: Listed, scratch: Path) -> Iterator[Path]:
    """The video as a file of this machine: itself, or a copy under `scratch` while it is needed."""
    if video.member is None and "://" not in video.location:
        yield Path(video.location)
        return
    copy = scratch / f"download{PurePosixPath(video.identifier).suffix}"
    try:
        with _open(video.location) as remote, copy.open("wb") as file:
            _copy(remote, file, video.member)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _copy(remote: IO[bytes], file: IO[bytes], member: tuple[int, int] | None) -> None:
    offset, left = member or (0, None)
    if offset:
        remote.seek(offset)
    while chunk := remote.read(1 << 20 if left is None else min(left, 1 << 20)):
        file.write(chunk)
        left = None if left is None else left - len(chunk)
    if left:
        raise OSError(f"the tar ends {left} bytes before its member does")


def _files(root: Path, paths: Iterable[Path]) -> Iterator[Listed]:
    for path in paths:
        name = path.relative_to(root)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and path.suffix not in SIDECARS and not hidden:
            yield Listed(name.as_posix(), _readable(str(path)), str(path))


def _readable(path: str) -> str:
    """Names that are no UTF-8 cannot stand in a table as they are."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _matches(pattern: str) -> Iterator[Listed]:
    fixed = Path(*_before_magic(Path(pattern).parts))
    paths = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 (Path.glob takes no absolute ones)
    for path in paths:
        if path.suffix == ".tar":
            yield from _members(str(path), path.relative_to(fixed).as_posix())
    yield from _files(fixed, [path for path in paths if path.suffix != ".tar"])


def _before_magic(parts: tuple[str, ...]) -> Iterator[str]:
    for part in parts[:-1]:
        if glob.has_magic(part):
            return
        yield part


def _rows(manifest: str) -> Iterator[Listed]:
    """One video a row; relative paths are relative to the manifest's folder."""
    try:
        with _open(manifest) as file:
            table = pl.read_parquet(file) if manifest.endswith(".parquet") else pl.read_csv(file, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{manifest}: cannot be read as a manifest: {error}") from error
    place = next((name for name in PLACE_COLUMNS if name in table.columns), None)
    if place is None:
        close = [name for column in table.columns for name in get_close_matches(column, PLACE_COLUMNS, n=1)]
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SourceError(f"{manifest}: needs a column {' or '.join(PLACE_COLUMNS)}; found {table.columns}{hint}")
    told = [name for name in CAPTION_COLUMNS if name in table.columns]
    for number, row in enumerate(table.select(place, *told).iter_rows(named=True), start=1):
        yield _row(manifest, number, row[place], tuple((name, str(row[name])) for name in told if row[name]))


def _row(manifest: str, number: int, source: Any, captions: tuple[tuple[str, str], ...]) -> Listed:
    if not source:
        return Listed(f"row {number}", "", "", captions, error=f"row {number} of {manifest} names no path or URL")
    source = str(source)
    location = source if "://" in source else str(Path(manifest).parent / source)
    return Listed(source, source, location, captions)


def _members(tar: str, name: str | None = None) -> Iterator[Listed]:
    """The videos of a WebDataset tar, each with the captions (.txt) of its key. One that breaks off says so itself."""
    name = name or Path(tar).name
    members: list[tarfile.TarInfo] = []
    texts: dict[str, str] = {}
    try:
        with _open(tar) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                suffix = PurePosixPath(member.name).suffix
                if member.isfile() and suffix not in SIDECARS:
                    members.append(member)
                elif member.isfile() and suffix == ".txt":
                    text = archive.extractfile(member)
                    texts[_key(member)] = text.read().decode("utf-8", "replace").strip() if text else ""
    except (OSError, tarfile.TarError) as error:
        yield Listed(name, tar, tar, error=f"{type(error).__name__}: {tar} cannot be read as a tar to its end: {error}")
    for member in members:
        captions = (("caption", texts[_key(member)]),) if texts.get(_key(member)) else ()
        place = (member.offset_data, member.size)
        yield Listed(f"{name}/{member.name}", f"{tar}/{member.name}", tar, captions, place)


def _key(member: tarfile.TarInfo) -> str:
    """WebDataset: a sample's members share everything before the first dot of the file name."""
    folder, _, file = member.name.rpartition("/")
    return f"{folder}/{file.partition('.')[0]}"


def _told_apart(videos: list[Listed]) -> Iterator[Listed]:
    seen: dict[str, int] = {}
    for video in sorted(videos, key=lambda video: video.identifier):
        seen[video.identifier] = count = seen.get(video.identifier, 0) + 1
        if count > 1:
            again = f"duplicate id: {video.identifier!r} is in the list {count} times; the first one is taken"
            video = replace(video, identifier=f"{video.identifier}~{count}", error=again)  # noqa: PLW2901
        yield video


def _open(location: str) -> Any:
    return fsspec.open(location, "rb") if "://" in location else Path(location).open("rb")


def _nearest(path: Path) -> str:
    names = os.listdir(path.parent) if path.parent.is_dir() else []  # noqa: PTH208 (names, not paths)
    close = get_close_matches(path.name, names, n=1)
    return f"; did you mean {str(path.parent / close[0])!r}?" if close else ""
