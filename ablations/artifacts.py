"""
The store: what stages left on disk, found by fingerprint, believed only with a manifest.

Layout of `$ABLATE_STORE` (default `.ablate/` in the working folder)::

    artifacts/STAGE-FINGERPRINT/   a finished stage: its files and manifest.json
    work/STAGE-FINGERPRINT/        an unfinished one, from which the same stage continues
    claims/                        who works on what just now
    nodes/  status/  jobs/         descriptions, progress and logs of stages
"""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from ablations.errors import AblateError, RunError

MANIFEST = "manifest.json"


class Store:
    """Artifacts under one root. Keys are `STAGE-FINGERPRINT`."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or Path(os.environ.get("ABLATE_STORE", ".ablate"))).absolute()

    def folder(self, kind: str) -> Path:
        """One of the store's folders, made if missing."""
        path = self.root / kind
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        return path

    def _unwritable(self, error: OSError) -> AblateError:
        return AblateError(f"the store {self.root} cannot be written: {error}; set ABLATE_STORE to another folder")

    def check_writable(self) -> None:
        """Raise AblateError where nothing can be written, before anything is begun or submitted."""
        probe = self.folder("claims") / f".writable.{node()}.{os.getpid()}"
        try:
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise self._unwritable(error) from error

    def artifact(self, key: str) -> Path:
        """Where the finished artifact lies or will lie."""
        return self.root / "artifacts" / key

    def has(self, key: str) -> bool:
        """Whether the stage is done: a present manifest says so, nothing else does."""
        return (self.artifact(key) / MANIFEST).is_file()

    def manifest(self, key: str) -> dict[str, Any]:
        """The manifest of a finished artifact. Raises RunError if it is damaged."""
        path = self.artifact(key) / MANIFEST
        try:
            manifest: dict[str, Any] = read_json(path)
        except ValueError as error:
            raise RunError(f"{path} is damaged ({error}); `ablate run` makes the artifact again") from error
        return manifest

    def work(self, key: str) -> Path:
        """The folder in which the stage is, or was, at work."""
        path = self.folder("work") / key
        path.mkdir(exist_ok=True)
        return path

    def finish(self, key: str, facts: Mapping[str, Any]) -> None:
        """Turn the work folder into the artifact: digest every file, write the manifest, rename the folder whole."""
        work, final = self.work(key), self.artifact(key)
        files = {name: {"size": path.stat().st_size, "sha256": digest(path)} for name, path in contents(work)}
        write_json(work / MANIFEST, {**facts, "files": files})
        self.folder("artifacts")
        if (
            final.exists()
        ):  # left without a manifest, or damaged: never another's finished work, which the claim excludes
            shutil.rmtree(final)
        work.rename(final)

    def damage(self, key: str) -> str | None:
        """What is wrong with a finished artifact, or None if every file is as its manifest says."""
        try:
            expected = read_json(self.artifact(key) / MANIFEST)["files"]
        except (ValueError, KeyError, OSError) as error:
            return f"{MANIFEST} cannot be read ({error})"
        found = dict(contents(self.artifact(key)))
        for name, facts in expected.items():
            if name not in found:
                return f"{name} is missing"
            try:
                if found[name].stat().st_size != facts["size"]:
                    return f"{name} has {found[name].stat().st_size} bytes instead of {facts['size']}"
                if digest(found[name]) != facts["sha256"]:
                    return f"{name} has changed: its SHA-256 is not the manifest's"
            except FileNotFoundError:  # another process discards it just now
                return f"{name} is gone"
        return None

    def discard(self, key: str) -> None:
        """Remove an artifact. The manifest goes first, so that an interrupted removal leaves nothing to believe."""
        (self.artifact(key) / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.artifact(key), ignore_errors=True)

    @contextlib.contextmanager
    def claim(self, key: str, poll_s: float = 1.0, lease_s: float = float("inf")) -> Iterator[int]:
        """
        Hold the only right to work on a stage, waiting while another living process has it; gives the claim's number.

        Claims are numbered and the highest counts. A dead one is never removed but outnumbered: creating the next
        number is atomic, so of several who find it dead only one succeeds. One that is older than `lease_s` counts as
        dead if nobody here can tell.
        """
        while True:
            number, holder = self._holder(key)
            if alive(holder) and not (elsewhere(holder) and self._age(key, number) > lease_s):
                time.sleep(poll_s)
            elif self._take(key, number + 1):
                break
        try:
            yield number + 1
        finally:
            for other, path in sorted(self._claims(key).items()):  # the own one last, a successor's never
                if other <= number + 1:
                    path.unlink(missing_ok=True)

    def claimed(self, key: str) -> bool:
        """Whether a living process works on the stage just now."""
        return alive(self._holder(key)[1])

    def claimed_among(self, keys: Container[str]) -> set[str]:
        """Those of the stages that a living process works on just now, by one look at all claims."""
        paths = [path.name.split(".") for path in (self.root / "claims").glob("*.json")]
        return {key for key in {name[0] for name in paths} if key in keys and self.claimed(key)}

    def outnumbered(self, key: str, number: int) -> bool:
        """Whether another process took a claim over."""
        return self._holder(key)[0] != number

    def _age(self, key: str, number: int) -> float:
        """Seconds since a claim was made, by the clock of the file server alone."""
        probe = self.folder("claims") / f".age.{node()}.{os.getpid()}"
        probe.touch()
        try:
            return probe.stat().st_mtime - (self.root / "claims" / f"{key}.{number}.json").stat().st_mtime
        except FileNotFoundError:
            return 0.0
        finally:
            probe.unlink(missing_ok=True)

    def _claims(self, key: str) -> dict[int, Path]:
        paths = (self.root / "claims").glob(f"{key}.*.json")
        return {int(path.name.split(".")[-2]): path for path in paths}

    def _holder(self, key: str) -> tuple[int, Mapping[str, Any]]:
        number = 0
        for _ in range(2):  # a second look where the claim went between the listing and the reading
            number, path = max(self._claims(key).items(), default=(0, None))
            if path is None:
                break
            if facts := read_json(path, missing={}):
                return number, facts
        return number, {}

    def _take(self, key: str, number: int) -> bool:
        """Create the claim whole or not at all: a link is atomic and fails if the name is taken."""
        path = self.folder("claims") / f"{key}.{number}.json"
        own = path.with_name(f".{key}.{node()}.{os.getpid()}")
        facts = {"host": node(), "pid": os.getpid(), "started": process_start(os.getpid())}
        write_json(own, {**facts, "job": os.environ.get("SLURM_JOB_ID")})
        try:
            os.link(own, path)
        except FileExistsError:
            return False
        finally:
            own.unlink()
        return True


def node() -> str:
    """This machine's name: SLURM's for it inside a job."""
    return os.environ.get("SLURMD_NODENAME", socket.gethostname())


def elsewhere(claim: Mapping[str, Any]) -> bool:
    """Whether a claim is another machine's, and of no SLURM job that could be asked for."""
    return bool(claim) and claim["host"] != node() and not claim.get("job")


def alive(claim: Mapping[str, Any]) -> bool:
    """Whether the process that wrote a claim lives. Of another host's only SLURM can tell, if it was a job."""
    if not claim:
        return False
    if claim["host"] == node():
        return bool(process_start(claim["pid"]) == claim["started"])
    job = claim.get("job")
    if job is None:
        return True
    from ablations.slurm.queue import lives

    return job != os.environ.get("SLURM_JOB_ID") and lives(job)  # our own job's claim is that of its last attempt


def process_start(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (a pid alone may be used again); None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def contents(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file below a folder but the manifest, by relative name, in order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            yield path.relative_to(folder).as_posix(), path


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path, missing: Any = None) -> Any:
    """The JSON value in a file; `missing`, if given, where there is no (whole) file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        if missing is None:
            raise
        return missing


def read_mapping(path: Path) -> dict[str, Any]:
    """The JSON mapping in a file that is only remembered by; empty where there is none, or none that is whole."""
    value = read_json(path, missing={})
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: Any) -> None:
    """Write JSON as `write_text`."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True))


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of either."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    beside.write_text(text, encoding="utf-8", newline="\n")
    beside.replace(path)
