"""The recipe of a task: a training, as `ablate train` runs it, and what its clips are judged by."""

from typing import Self

from pydantic import Field, model_validator

from bench.settings import ScoreSettings
from svd_core.tasks.settings import (
    ClipsSettings,
    ExecutionSettings,
    Phase,
    SampledClips,
    TaskSampleSettings,
    TrainingRecipe,
    WatchSettings,
)


class TaskRecipe(TrainingRecipe):
    """
    A training of any task, and what its clips are judged by: the truth that they were given a part of.

    The run's seed reaches the phases that `seeded` names, and sampling; everything else is shared by all seeds.
    """

    seeded: tuple[str, ...] = Field(min_length=1)
    reference: ClipsSettings
    sample: SampledClips
    score: ScoreSettings

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        """Everything is rendered here, and held-out clips are of the length and size that are generated."""
        if self.start is not None or any(clips.render is None for clips in (*self.data.values(), self.reference)):
            raise ValueError(
                "a spec renders its clips and starts from fresh weights; `ablate train` reads what you have"
            )
        if self.autoencoder.folder or (self.conditioners.text, self.conditioners.image) != ("toy", "random"):
            raise ValueError("a spec makes its own frozen networks; `ablate train` reads what you have")
        if self.execution != ExecutionSettings() or self.watch != WatchSettings():
            raise ValueError("execution and watch are of `ablate train`: a spec's stages all train alike")
        for name in self.seeded:
            if name not in self.phases:
                raise ValueError(f"seeded names phase {name!r}; there are: {', '.join(self.phases)}")
        last, size = self.chain[-1], (self.reference.resolution, self.reference.resolution)
        if (last.frames, last.resolution) != (self.reference.frames, size):
            shapes = f"{last.frames} frames of {last.resolution}, but reference has {self.reference.frames} of {size}"
            raise ValueError(f"phase {last.name} makes {shapes}; they must be equal")
        return self

    def with_seed(self, seed: int) -> "TaskRecipe":
        """This recipe for one run."""

        def seeded(name: str, phase: Phase) -> Phase:
            return phase.model_copy(update={"seed": seed}) if name in self.seeded else phase

        phases = {name: seeded(name, phase) for name, phase in self.phases.items()}
        return self.model_copy(update={"phases": phases, "sample": self.sample.model_copy(update={"seed": seed})})

    @property
    def lengths(self) -> tuple[int, int]:
        """Samples of a run's last phase; nothing comes after it."""
        return self.chain[-1].samples, 0

    @property
    def sampling(self) -> TaskSampleSettings:
        """The settings by which held-out clips are sampled."""
        return TaskSampleSettings(**dict(self.sample), **dict(self.generation))
