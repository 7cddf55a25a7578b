"""A file of events, one JSON object a line, that only grows: what has been acknowledged survives a kill."""

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class LogError(ValueError):
    """A log that cannot be read, or is another process's: the message names the file."""


class Log:
    """
    Events in `path`, held by this process alone until `close`.

    A last line without its end is what a kill left of an event that nobody was told of: it is cut off. Any other line
    that is no JSON object raises LogError with its number, as does a log that another process holds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.seek(0)
            whole = self._file.read()
            self.events = list(parsed(path, whole))
        except BlockingIOError as error:
            self.close()
            raise LogError(f"{path} is in use by another process: is the voting page running?") from error
        except LogError:
            self.close()
            raise
        path.chmod(0o600)
        self._file.truncate(whole.rfind(b"\n") + 1)

    def append(self, event: Mapping[str, Any]) -> None:
        """Add an event, whole or not at all. It survives a killed process at once, and a lost machine after `sync`."""
        line, end = json.dumps(event, ensure_ascii=False).encode() + b"\n", self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._file.truncate(end)  # half an event would spoil the next one
            raise

    def sync(self) -> None:
        """Wait until everything appended is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def read_log(path: Path) -> list[Event]:
    """All whole events of a log, while another process may be adding to it; none if there is no file."""
    return list(parsed(path, path.read_bytes())) if path.exists() else []


def parsed(path: Path, content: bytes) -> Iterator[Event]:
    """The events of a log's content, without a last line that has no end."""
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            event = json.loads(line)
        except ValueError as error:
            raise LogError(f"{path}:{number}: not an event ({error}): {line[:80]!r}") from error
        if not isinstance(event, dict):
            raise LogError(f"{path}:{number}: not an event: {line[:80]!r}")
        yield event
