"""Folders of the user's own that stages read: known by what is in them, wherever they lie."""

import contextlib
import copy
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ablations.errors import PlanError
from svd_core.encoders import weights

OURS = (None, "toy", "random")
"""Values in a folder's place that mean what is made here."""
NETWORK = (".json", ".safetensors", ".txt", ".model")
"""Suffixes of the files that a network counts by: a note beside them changes nothing."""
LARGE = 2**26
"""Bytes from which on a digest is written down: hashing gigabytes takes seconds of every command."""


def rooted(settings: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """These settings, with the folders that dotted names may hold by their whole path: jobs may start elsewhere."""
    for holder, leaf, _ in folders(settings, names):
        holder[leaf] = str(Path(holder[leaf]).absolute())
    return settings


def taken_out(settings: Mapping[str, Any], names: Sequence[str]) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Settings without these folders, and the digest of each folder by its name."""
    if not names:  # most stages, and a plan has thousands
        return settings, {}
    inside = copy.deepcopy(dict(settings))
    return inside, {name: folder_digest(holder.pop(leaf)) for holder, leaf, name in folders(inside, names)}


def folders(settings: dict[str, Any], names: Sequence[str]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Where these names hold a folder: the mapping, the key in it, and the name."""
    for name in names:
        *parents, leaf = name.split(".")
        holder = settings
        for parent in parents:
            holder = holder[parent]
        if holder[leaf] not in OURS:
            yield holder, leaf, name


@cache
def folder_digest(folder: str) -> str:
    """SHA-256 over a folder's files, their names and what they hold. Raises PlanError if it is not there.

    Of a curated folder the clip table counts and, as they may be terabytes, the names and sizes of its shards.
    """
    root = Path(folder)
    if not root.is_dir():
        raise PlanError(f"{folder}: no such folder; a spec reads folders of clips and networks, no hub ids")
    table = root / "clips.parquet"
    files = [table, *sorted((root / "shards").glob("*.tar"))] if table.is_file() else network_files(root)
    if not files:
        raise PlanError(f"{folder} holds neither clips.parquet nor a network's files ({', '.join(NETWORK)})")
    facts = [
        [path.relative_to(root).as_posix(), path.stat().st_size if path.suffix == ".tar" else file_digest(path)]
        for path in files
    ]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def network_files(root: Path) -> list[Path]:
    """What networks and tokenizers are loaded from, also behind links, as hubs' caches are made of them."""
    found = (Path(parent) / name for parent, _, names in os.walk(root, followlinks=True) for name in names)
    return sorted(path for path in found if path.suffix in NETWORK)


def file_digest(path: Path) -> str:
    """SHA-256 of a file; of a large one as it was found before, if its size and time of change are the same."""
    facts = path.stat()
    if facts.st_size < LARGE:
        return weights.digest(path)
    known_by = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"
    noted = weights.folder() / "digests" / hashlib.sha256(known_by.encode()).hexdigest()
    if noted.is_file():
        return noted.read_text()
    found = weights.digest(path)
    with contextlib.suppress(OSError):  # a folder of weights that others look after
        noted.parent.mkdir(parents=True, exist_ok=True)
        half = noted.with_suffix(f".{os.getpid()}")
        half.write_text(found)
        half.replace(noted)
    return found
