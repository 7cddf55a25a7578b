"""What a stage is: a cached step with its function, and as a node of a graph."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from svd_core.progress import Progress
from svd_core.settings import Settings
from svd_core.training.settings import ComputeSettings, ExecutionSettings

if TYPE_CHECKING:
    from svd_core.training.execution import Execution

Inputs = Mapping[str, Path]
"""The parents' artifact folders, by the role they play."""


@dataclass(frozen=True)
class Stage:
    """One kind of cached step. `weights` are files that its result depends on beside its parents.

    `outside` are settings that may name a folder of the user's: what is in it counts, and not where it lies.
    """

    name: str
    run: Callable[[Any, Inputs, Path, Progress], None]
    version: int = 1
    weights: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


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


COMPUTE = "ABLATE_COMPUTE"
"""Environment variable: how the cluster file has kinds of stages computed, as JSON."""
Trained = Literal["pretrain_images", "pretrain_videos", "finetune", "train_phase"]
TRAINED: tuple[Trained, ...] = get_args(Trained)
"""Stages that train: several processes may make one together, and a cluster file may say how a step is computed."""


def compute_words(compute: Mapping[Trained, ComputeSettings]) -> str:
    """A cluster file's `compute` for the environment of its jobs."""
    return json.dumps({stage: settings.model_dump(mode="json") for stage, settings in compute.items()})


def compute_settings(stage: str) -> ComputeSettings:
    """How this job's cluster file has a stage computed: a resource, never part of a fingerprint."""
    return ComputeSettings.model_validate(json.loads(os.environ.get(COMPUTE, "{}")).get(stage, {}))


def execution(stage: Trained) -> "Execution":
    """How a stage trains here: in one process or, as one of those of its job, in many; always deterministically."""
    from torch import distributed

    from svd_core.training.execution import Execution

    if not distributed.is_initialized():  # a job of several has made its group: this is of whoever started us
        os.environ.pop("WORLD_SIZE", None)
        os.environ.pop("RANK", None)
    computed = compute_settings(stage).model_dump()
    return Execution.from_environment(ExecutionSettings(deterministic=True, **computed))


class Add(Protocol):
    """Enter a stage into a graph, with its settings and its parents by role; the answer stands for its artifact."""

    def __call__(self, stage: str, settings: Settings, /, **parents: Node) -> Node: ...
