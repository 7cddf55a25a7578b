"""The recipe of a task: a training, as `ablate train` runs it, and what its clips are judged by."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from bench.settings import ScoreSettings, check_frames
from svd_core.curation.settings import SubsetSettings
from svd_core.data.settings import ClipsSettings
from svd_core.tasks.settings import TOLD, Phase, SampledClips, TaskSampleSettings, TrainingRecipe
from svd_core.training.settings import ExecutionSettings, WatchSettings


@dataclass(frozen=True)
class Need:
    """What is asked of a curated folder's clips: so many frames at least, and captions where text is learnt."""

    frames: int = 1
    told: bool = False


class TaskRecipe(TrainingRecipe):
    """
    A training of any task, and what its clips are judged by: the truth that they were given a part of.

    The run's seed reaches the phases that `seeded` names, what `subset` draws, and sampling; everything else is shared
    by all seeds. `subset`: by name of a `data` that is a curated folder, the clips of it that are trained on.
    """

    seeded: tuple[str, ...] = Field(min_length=1)
    subset: dict[str, SubsetSettings] = Field(default_factory=dict)
    reference: ClipsSettings
    sample: SampledClips
    score: ScoreSettings

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        """Held-out clips are of the length and size that are generated, and what is said has an effect."""
        if any(clips.subset is not None for clips in (*self.data.values(), self.reference)):
            raise ValueError(
                "a spec chooses clips by its recipe's `subset: {NAME: {keep: ...}}`, not by a folder's name"
            )
        for name in self.subset:
            if name not in self.data or self.data[name].folder is None:
                raise ValueError(f"subset names {name!r}, which is no folder of `data`: all that is rendered is used")
        if self.execution != ExecutionSettings() or self.watch != WatchSettings():
            raise ValueError("execution and watch are of `ablate train`; in a spec the cluster file has `compute`")
        for name in self.seeded:
            if name not in self.phases:
                raise ValueError(f"seeded names phase {name!r}; there are: {', '.join(self.phases)}")
        last, size = self.chain[-1], (self.reference.resolution, self.reference.resolution)
        if (last.frames, last.resolution) != (self.reference.frames, size):
            shapes = f"{last.frames} frames of {last.resolution}, but reference has {self.reference.frames} of {size}"
            raise ValueError(f"phase {last.name} makes {shapes}; they must be equal")
        if self.sample.clips > self.reference.count:
            raise ValueError(
                f"sample.clips is {self.sample.clips}, but reference.count is {self.reference.count}: a clip is "
                "sampled for each held-out one"
            )
        check_frames(self.score.metrics, last.frames)
        return self

    def with_seed(self, seed: int) -> "TaskRecipe":
        """This recipe for one run."""

        def seeded(name: str, phase: Phase) -> Phase:
            return phase.model_copy(update={"seed": seed}) if name in self.seeded else phase

        phases = {name: seeded(name, phase) for name, phase in self.phases.items()}
        drawn = {
            name: chosen.model_copy(update={"seed": seed}) for name, chosen in self.subset.items() if chosen.sample
        }
        sample = self.sample.model_copy(update={"seed": seed})
        return self.model_copy(update={"phases": phases, "subset": {**self.subset, **drawn}, "sample": sample})

    @property
    def lengths(self) -> tuple[int, int]:
        """Samples of a run's last phase; nothing comes after it."""
        return self.chain[-1].samples, 0

    @property
    def sampling(self) -> TaskSampleSettings:
        """The settings by which held-out clips are sampled."""
        return TaskSampleSettings(**dict(self.sample), **dict(self.generation))


def needs_of(recipes: Iterable[TaskRecipe]) -> dict[Path, Need]:
    """What the phases of all arms together ask of each folder: every arm then sees the same clips of it."""
    readers: dict[Path, list[Phase]] = {}
    for recipe in recipes:
        for phase in recipe.chain:
            if folder := recipe.data[phase.data].folder:
                readers.setdefault(Path(folder).absolute(), []).append(phase)
    return {
        folder: Need(max(phase.frames for phase in phases), any(phase.task in TOLD for phase in phases))
        for folder, phases in readers.items()
    }
