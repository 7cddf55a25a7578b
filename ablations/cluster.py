"""Cluster files: where jobs run and with what. Resources only: they never change a result nor enter a fingerprint."""

import os
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from ablations.document import Document, validate
from ablations.errors import AblateError
from ablations.spec import find
from ablations.stage import TRAINED, Node, Trained
from ablations.stages import STAGES, check_stages
from svd_core.settings import Settings
from svd_core.training.settings import ComputeSettings

Word = Annotated[str, StringConstraints(pattern=r"^[^\s'\"\\$`]+$")]
"""A value that goes into an sbatch script: no blanks, quotes or shell characters."""


TRAIN = "train"
"""What jobs of `ablate train` are called where resources are given by kind of stage."""


class Cluster(Settings):
    """What all clusters have. `compute` says how kinds of stages that train are computed: micro-batches for a small
    GPU, recomputed activations, compiled blocks, `fsdp`.
    """

    about: str
    compute: dict[Trained, ComputeSettings] = Field(default_factory=dict)


class LocalCluster(Cluster):
    """Resources of this machine. They never change a result and never enter a fingerprint.

    `per_gpu`: jobs at once on each GPU, where there are any; `cores` are the limit of jobs in any case.
    """

    cores: int = Field(0, ge=0)
    per_gpu: int = Field(8, ge=1)
    all_cores: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _stages_exist(self) -> Self:
        check_stages(self.all_cores, list(STAGES))
        return self


class Resources(Settings):
    """What SLURM is asked for, for each job of a stage; null leaves it to the cluster.

    `gpus`, `tasks` and `mem_gb` are those of one node, `cpus` those of one task; `parallel` is how many tasks of an
    array may run at once. More than one task in all means torch.distributed. `setup` are shell lines that come before
    the job's command (`module load ...`).
    """

    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    exclude: Word | None = None
    nodes: int = Field(1, ge=1)
    tasks: int = Field(1, ge=1)
    gpus: int = Field(0, ge=0)
    cpus: int = Field(1, ge=1)
    mem_gb: float | None = Field(None, gt=0)
    time_min: int = Field(60, ge=1)
    parallel: int = Field(256, ge=1)
    setup: tuple[str, ...] = ()

    @property
    def all_gpus(self) -> int:
        """GPUs of one job, over all its nodes."""
        return self.nodes * self.gpus

    @property
    def processes(self) -> int:
        """Processes of one job, over all its nodes."""
        return self.nodes * self.tasks


class Retries(Settings):
    """How often a job is put back into the queue after an end of each kind. Preemption and node failures always are."""

    time_limit: int = Field(1000, ge=0)
    killed: int = Field(2, ge=0)
    out_of_memory: int = Field(0, ge=0)
    disk_full: int = Field(0, ge=0)
    exception: int = Field(0, ge=0)


class SlurmCluster(Cluster):
    """
    A SLURM cluster. `all` holds for every stage, `stages` says what is different for some.

    `inline` names stages that take seconds: they run inside the jobs that need them. `notice_s` is how long before its
    time limit a job is told to stop. `gpu_hours` caps what one spec may take; `tflops` is what one GPU sustains, which
    turns counted FLOPs into hours. `python` replaces the interpreter's path (`singularity exec IMAGE python`).
    """

    scheduler: Literal["slurm"]
    all: Resources = Resources()
    stages: dict[str, Resources] = Field(default_factory=dict)
    report: Resources = Resources(time_min=30)
    inline: tuple[str, ...] = ()
    notice_s: int = Field(90, ge=1)
    gpu_hours: float | None = Field(None, ge=0)
    tflops: float | None = Field(None, gt=0)
    python: str | None = None
    retries: Retries = Retries()

    @model_validator(mode="after")
    def _stages_exist(self) -> Self:
        check_stages((*self.stages, *self.inline), [*STAGES, TRAIN])
        return self

    def resources(self, stage: str) -> Resources:
        """What jobs of a stage (or the `report`) ask for: `all` with the stage's own settings over it."""
        own = self.report if stage == "report" else self.stages.get(stage, Resources())
        return self.all.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


def load_cluster(name: str) -> LocalCluster | SlurmCluster:
    """Read a cluster file: packaged name or path."""
    document = Document(find("clusters", name))
    if "scheduler" in document.data:
        return validate(SlurmCluster, document.data, {(): (document, ())})
    cluster = validate(LocalCluster, document.data, {(): (document, ())})
    return cluster if cluster.cores else cluster.model_copy(update={"cores": len(os.sched_getaffinity(0))})


def complaint(name: str, stage: str, field: str, message: str) -> AblateError:
    """An error at the line of the cluster file from which a stage has a resource."""
    document = Document(find("clusters", name))
    own: tuple[str, ...] = ("report",) if stage == "report" else ("stages", stage)
    given = document.data
    for part in own:
        given = given.get(part) or {}
    return document.error((*own, field) if field in given else ("all", field), message)


def check_processes(name: str, cluster: LocalCluster | SlurmCluster, nodes: Iterable[Node]) -> None:
    """Refuse several processes for a stage of one, and batches that a training's processes cannot share evenly.

    The error stands at the cluster file's line.
    """
    batches = {(node.stage, node.settings["batch_size"] if node.stage in TRAINED else 1) for node in nodes}
    for stage, batch in sorted(batches):
        wanted = cluster.resources(stage) if isinstance(cluster, SlurmCluster) else Resources()
        processes, field = wanted.processes, "tasks" if wanted.tasks > 1 else "nodes"
        if processes > 1 and stage not in TRAINED:
            said = f"{stage} is made by one process, not by {processes}; several make {', '.join(TRAINED)}"
            raise complaint(name, stage, field, said)
        share, rest = divmod(batch, processes)
        if rest:
            said = f"{stage} has batches of {batch}, which {processes} processes cannot share evenly"
            raise complaint(name, stage, field, said)
        micro = next((compute.micro_batch for trained, compute in cluster.compute.items() if trained == stage), None)
        if micro and share % micro:
            said = f"a process's {share} samples of a step of {stage} cannot be dealt in micro-batches of {micro}"
            raise Document(find("clusters", name)).error(("compute", stage, "micro_batch"), said)
