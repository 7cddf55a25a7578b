"""Settings of a whole training: where it starts, its phases one after the other, how it is sampled. Free of torch."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, StringConstraints, field_validator, model_validator

from svd_core.data.settings import SIZES, STILLS, ClipsSettings, RecordSettings
from svd_core.encoders.settings import EncoderSettings
from svd_core.settings import NetworkSettings, Precision, Settings, check_sigmas
from svd_core.training.settings import ExecutionSettings, WatchSettings

Task = Literal["images", "text_to_video", "image_to_video", "frame_interpolation", "multi_view"]

DISCRETE_STEPS = 1000
"""Noise levels of Stable Diffusion's schedule."""
TOLD: tuple[Task, ...] = ("images", "text_to_video")
"""Tasks that learn from captions."""


class Phase(Settings):
    """One stretch of training; the next one starts from its moving average.

    trained: `time_embedding` is the first step of the move from a discrete to the continuous objective (paper, section
    4.1), `lora` adds low-rank weights to the temporal attention and trains nothing else. objective: `continuous` draws
    ln sigma ~ N(p_mean, p_std^2); `v` and `epsilon` draw one of Stable Diffusion's 1000 steps. resolution: height and
    width; schedule_shift_from: the side that the discrete schedule was made for. noise strengths: ln s ~ N(mean, std^2)
    of pixels in [-1, 1] (image_to_video, multi_view) or of latents (frame_interpolation). warmup in steps.
    """

    name: str = Field("", pattern=r"^[a-z0-9_]*$")
    task: Task
    data: str
    resolution: tuple[int, int]
    frames: int = Field(ge=1)
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    lr: float = Field(gt=0)
    warmup_steps: int = Field(0, ge=0)
    new_layers_lr_scale: float = Field(1.0, gt=0)
    trained: Literal["all", "time_embedding", "lora"] = "all"
    lora_rank: int = Field(16, ge=1)
    objective: Literal["continuous", "v", "epsilon"] = "continuous"
    p_mean: float = -1.2
    p_std: float = Field(1.0, gt=0)
    offset_noise: float = Field(0.0, ge=0)
    zero_terminal_snr: bool = False
    schedule_shift_from: int | None = Field(None, ge=1)
    text_dropout: float = Field(0.15, ge=0, le=1)
    image_dropout: float = Field(0.1, ge=0, le=1)
    latent_dropout: float = Field(0.1, ge=0, le=1)
    strength_mean: float = -3.0
    strength_std: float = Field(0.5, ge=0)
    strength_draws: int = Field(4, ge=1)
    ema: float = Field(0.9999, ge=0, lt=1)
    clip_grad_norm: float = Field(1.0, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    precision: Precision | None = Field(None, exclude_if=lambda precision: precision is None)
    seed: int = Field(0, ge=0)

    @property
    def samples(self) -> int:
        """Samples seen in all."""
        return self.steps * self.batch_size

    @property
    def warmup_samples(self) -> int:
        """Samples until the learning rate is full."""
        return self.warmup_steps * self.batch_size

    @property
    def unread(self) -> Mapping[str, str]:
        """Settings that nothing reads in this phase, and what they need."""
        given, noisy = self.task not in TOLD, self.task in ("image_to_video", "multi_view")
        parts: list[tuple[bool, tuple[str, ...], str]] = [
            (self.trained == "lora", ("lora_rank",), "trained: lora"),
            (self.objective == "continuous", ("p_mean", "p_std"), "objective: continuous"),
            (not given, ("text_dropout",), "a task that reads captions"),
            (given, ("image_dropout", "latent_dropout"), "a task that is given a frame"),
            (given, ("strength_mean", "strength_std"), "a task that is given a frame"),
            (noisy, ("strength_draws",), "noise on pixels, as in image_to_video and multi_view"),
        ]
        return {name: needs for read, names, needs in parts if not read for name in names}

    @property
    def records(self) -> RecordSettings:
        """What the phase's clips are encoded as."""
        size: dict[str, Any] = {"resolution": self.resolution, "frames": None if self.task == "images" else self.frames}
        if self.task not in ("image_to_video", "multi_view"):
            return RecordSettings(**size)
        names = ("strength_mean", "strength_std", "strength_draws")
        return RecordSettings(**size, **{name: getattr(self, name) for name in names})

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.task == "images" and self.frames != 1:
            raise ValueError(f"task images trains on single frames; frames is {self.frames}")
        if self.task == "frame_interpolation" and self.frames < 3:
            raise ValueError(f"task frame_interpolation needs a frame between two; frames is {self.frames}")
        if self.task == "frame_interpolation" and self.trained != "all":
            raise ValueError(
                f"task frame_interpolation trains all layers, with its mask's embedding; not {self.trained}"
            )
        if self.objective == "epsilon" and self.zero_terminal_snr:
            raise ValueError("zero_terminal_snr needs objective v: noise predicted from noise says nothing of the data")
        if self.objective == "continuous" and (self.zero_terminal_snr or self.schedule_shift_from):
            raise ValueError("zero_terminal_snr and schedule_shift_from are of the discrete objectives, v and epsilon")
        return self


class GenerationSettings(Settings):
    """How `ablate sample` samples this training's runs unless told otherwise.

    guidance: over the frames of tasks that are given one of them; without (images, text_to_video) it is constant.
    """

    steps: int = Field(25, ge=1)
    sigma_min: float = Field(0.002, gt=0)
    sigma_max: float = Field(700.0, gt=0)
    rho: float = Field(7.0, gt=0)
    guidance: Literal["constant", "linear", "triangular"] = "linear"
    guidance_min: float = Field(1.0, ge=0)
    guidance_max: float = Field(3.0, ge=0)
    fps: float = Field(7.0, gt=0)
    motion_bucket: float = Field(127.0, ge=0, le=255)
    noise_strength: float = Field(0.02, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        check_sigmas(self.sigma_min, self.sigma_max)
        return self


class SampledClips(Settings):
    """How many of the held-out clips are sampled anew, from the first on, and with which noise."""

    clips: int = Field(24, ge=1)
    seed: int = Field(0, ge=0)


class TaskSampleSettings(SampledClips, GenerationSettings):
    """A run of any task, sampled for held-out clips."""


Part = TypeVar("Part", bound=Settings)


def part(kind: type[Part], whole: Settings) -> Part:
    """The settings of one kind among others."""
    return kind(**{name: getattr(whole, name) for name in kind.model_fields})


class Bases(Settings):
    """What all phases of a training share: where it starts, and how its networks are built.

    start: a folder or cached hub id with Stable Diffusion's image UNet or Stable Video Diffusion's video UNet, or the
    folder of another training; by default fresh weights of `network`. norm_groups: 32 is all that diffusers' own video
    class knows, which a pipeline for export needs. spatial: `random` leaves the image network's weights behind where it
    becomes a video network, the paper's arm without Stage I (section 3.2).
    """

    start: str | None = Field(None, min_length=1)
    network: NetworkSettings = NetworkSettings()
    norm_groups: int = Field(32, ge=1)
    time_id_dim: int = Field(256, ge=2)
    spatial: Literal["copied", "random"] = Field("copied", exclude_if=lambda spatial: spatial == "copied")


class PhaseSettings(Phase, Bases):
    """All that one phase is trained by, beside its clips."""


class TrainingRecipe(Bases, EncoderSettings):
    """A whole training: `order` names its phases, one after the other; by default all of them, as they are written."""

    about: str
    data: dict[str, ClipsSettings]
    phases: dict[Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")], Phase] = Field(min_length=1)
    order: tuple[str, ...] = ()
    execution: ExecutionSettings = ExecutionSettings()
    watch: WatchSettings = WatchSettings()
    generation: GenerationSettings = GenerationSettings()

    @field_validator("phases")
    @classmethod
    def _named(cls, phases: dict[str, Phase]) -> dict[str, Phase]:
        """A phase's name is its key."""
        for key, phase in phases.items():
            if phase.name not in ("", key):
                raise ValueError(f"phase {key!r} calls itself {phase.name!r}; a phase's name is its key")
        return {key: phase.model_copy(update={"name": key}) for key, phase in phases.items()}

    @property
    def chain(self) -> tuple[Phase, ...]:
        """The phases of this training in order."""
        return tuple(self.phases[name] for name in self.order or self.phases)

    @property
    def bases(self) -> Bases:
        """The settings that every phase is built by."""
        return part(Bases, self)

    @property
    def encoders(self) -> EncoderSettings:
        """The settings of the frozen networks."""
        return part(EncoderSettings, self)

    def records_of(self, phase: Phase) -> RecordSettings:
        """What a phase's clips are encoded as. Those of a folder may last minutes: images come from their beginning."""
        if phase.task != "images" or self.data[phase.data].folder is None:
            return phase.records
        return phase.records.model_copy(update={"at_most": STILLS})

    @field_validator("data")
    @classmethod
    def _folders_have_their_sizes(cls, data: dict[str, ClipsSettings]) -> dict[str, ClipsSettings]:
        fields = ClipsSettings.model_fields
        for name, clips in data.items():
            idle = [key for key in SIZES if getattr(clips, key) != fields[key].default]
            if clips.folder is not None and idle:
                raise ValueError(
                    f"data {name}: {idle[0]} is a setting of renderings; of a folder's clips, phases say the size"
                )
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.order:
            if name not in self.phases:
                raise ValueError(f"order names phase {name!r}; there are: {', '.join(self.phases)}")
        if len(set(self.order)) < len(self.order):
            raise ValueError(f"order names a phase twice: {', '.join(self.order)}")
        for phase in self.phases.values():
            if phase.data not in self.data:
                raise ValueError(f"phase {phase.name} reads data {phase.data!r}; there are: {', '.join(self.data)}")
            clips = self.data[phase.data]
            if clips.folder is None and clips.frames < phase.frames:
                raise ValueError(
                    f"phase {phase.name} needs {phase.frames} frames; data {phase.data} has {clips.frames}"
                )
        if lora := [phase.name for phase in self.chain[:-1] if phase.trained == "lora"]:
            raise ValueError(f"phase {lora[0]} trains low-rank weights, which no later phase would have: put it last")
        tasks = [phase.task for phase in self.chain]
        if "images" in tasks[first_video(tasks) :]:
            raise ValueError("images come before videos: an inflated network is no image model any more")
        last = self.chain[-1]
        if last.objective != "continuous" and self.generation.steps >= DISCRETE_STEPS:
            raise ValueError(f"generation.steps must be below {DISCRETE_STEPS}, the noise levels of phase {last.name}")
        return self


def first_video(tasks: list[Task]) -> int:
    """The number of the first phase on videos."""
    return next((number for number, task in enumerate(tasks) if task != "images"), len(tasks))
