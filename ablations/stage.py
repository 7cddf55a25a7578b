"""What a stage is: a cached step with its function, and as a node of a graph."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from svd_core.progress import Progress
from svd_core.settings import Settings

Inputs = Mapping[str, Path]
"""The parents' artifact folders, by the role they play."""


@dataclass(frozen=True)
class Stage:
    """One kind of cached step. `weights` are files that its result depends on beside its parents."""

    name: str
    run: Callable[[Any, Inputs, Path, Progress], None]
    version: int = 1
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    """One stage with its settings and parents: the identity of an artifact."""

    stage: str
    settings: Mapping[str, Any]
    parents: Mapping[str, str]
    fingerprint: str

    @property
    def key(self) -> str:
        """The artifact's name in the store."""
        return f"{self.stage}-{self.fingerprint}"


def cores() -> int:
    """Processes that a stage may use: a resource, never part of a fingerprint."""
    return int(os.environ.get("ABLATE_CORES", "1"))


class Add(Protocol):
    """Enter a stage into a graph, with its settings and its parents by role; the answer stands for its artifact."""

    def __call__(self, stage: str, settings: Settings, /, **parents: Node) -> Node: ...
