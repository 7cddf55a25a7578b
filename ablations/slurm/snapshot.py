"""The code that jobs run: a copy made at submission, so that edits made while jobs wait cannot reach them."""

import hashlib
import importlib
import importlib.metadata
import os
import shutil
from pathlib import Path

from ablations.artifacts import Store
from ablations.job import PACKAGES, REVISION, code_revision

CODE = ("svd_core", "bench", "ablations")
SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc")


def snapshot(store: Store) -> Path:
    """Copy the project's packages into the store, once for each content; returns the folder to import them from."""
    sources = {name: Path(next(iter(importlib.import_module(name).__path__))) for name in CODE}
    revision = code_revision()
    final = store.folder("code") / digest(sources, revision)
    if not final.exists():
        beside = final.with_name(f".{final.name}.{os.uname().nodename}.{os.getpid()}")
        for name, path in sources.items():
            shutil.copytree(path, beside / name, ignore=SKIPPED)
        (beside / REVISION).write_text(revision)
        try:
            beside.rename(final)
        except OSError:  # another submitter was first
            shutil.rmtree(beside)
    return final


def digest(sources: dict[str, Path], revision: str) -> str:
    """Hash of every source file's name and content, and of the revision that they are said to be."""
    hasher = hashlib.sha256(revision.encode())
    for name, root in sources.items():
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                hasher.update(f"{name}/{path.relative_to(root)}".encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()[:20]


def missing_packages(recorded: dict[str, str]) -> list[str]:
    """Packages that differ here from those of the machine that submitted, or are not here at all, in words."""
    problems = []
    for name in PACKAGES:
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            here = "missing"
        if here != recorded.get(name, here):
            problems.append(f"{name} is {here}, {recorded[name]} where the job was submitted")
    return problems
