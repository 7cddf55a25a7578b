"""
A study file: what is varied, what is wanted, what must hold, and how much may be spent.

    question: Which thresholds keep the best clips?
    recipe: text_to_video
    parameters:
      subset.keep.motion.drop_lowest: {low: 0.0, high: 0.5, step: 0.125}
    objectives: [fvd]
    kept_share: {min: 0.1}
    incumbent: {subset.keep.motion.drop_lowest: 0.25}
    seeds: [0]
    trials: 40
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ablations.checks import check_name, check_once, check_seeds, why_not
from ablations.document import Document, validate
from ablations.errors import AblateError, nearest
from ablations.recipe import Override, Recipe, build, is_task, merged, overrides, sizes
from ablations.search.parameters import Parameter, is_whole
from ablations.spec import HOME, available, find, scale_of
from bench.settings import METRICS, SUBSET_METRICS, Direction
from svd_core.settings import Settings

Seed = Annotated[int, Field(ge=0, lt=2**31)]
PREFERENCE, VOTES = "preference", "votes"
DIRECTIONS: dict[str, Direction] = {name: metric.direction for name, metric in METRICS.items()} | SUBSET_METRICS
"""Everything that a stage can yield as an objective."""
RATERS = (VOTES, *(name for name, metric in METRICS.items() if not metric.set_metric))
"""Who may say which of two clips is preferred: people, or a metric of single clips."""


class Share(Settings):
    """Bounds on the share of all clips that a trial may keep."""

    min: float = Field(0.0, ge=0, le=1)
    max: float = Field(1.0, ge=0, le=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} lies above max {self.max:g}: no trial can meet it")
        return self


class Pruner(Settings):
    """
    Successive halving: a trial is scored after 1/factorⁿ⁻¹, …, 1/factor and all of its training, `n = rungs` times, and
    goes on while it is among the best 1/factor of what reached that rung (Li et al. 2020, asynchronous).
    """

    rungs: int = Field(3, ge=2, le=8)
    factor: int = Field(2, ge=2)


class Final(Settings):
    """
    The winner's retraining: fresh seeds, and a held-out reference set of its own seed. `primary` judges it; null: the
    study's first objective.
    """

    seeds: tuple[Seed, ...] = Field(min_length=2)
    reference_seed: Seed
    primary: str | None = None


class StudyFile(Settings):
    """The keys of a study file. `rater` says whose votes the objective `preference` rests on."""

    question: str = Field(min_length=1)
    paper: str = ""
    recipe: str
    parameters: dict[str, Parameter] = Field(min_length=1)
    objectives: tuple[str, ...] = Field(min_length=1, max_length=3)
    kept_share: Share | None = None
    incumbent: dict[str, Any]
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    sampler: Literal["tpe", "nsga2"] = "tpe"
    population: int = Field(12, ge=2)
    sampler_seed: Seed = 0
    pruner: Pruner | None = None
    trials: int = Field(40, ge=1)
    parallel: int = Field(4, ge=1)
    final: Final | None = None
    rater: str | None = Field(None, exclude_if=lambda rater: rater is None)


@dataclass(frozen=True)
class Study:
    """A study at one scale: `recipe` gives the full settings of any point of its space."""

    name: str
    file: StudyFile
    document: Document
    scale: str
    scale_path: Path
    in_process: bool
    core_seconds: dict[str, float]
    plan_only: str
    base: Document
    layers: list[Override]

    @property
    def asked_scale(self) -> str:
        """The scale as the commands take it: a packaged name, or the path of the user's own file."""
        return self.scale if self.scale_path.parent == HOME / "scales" else str(self.scale_path)

    def recipe(self, point: Mapping[str, Any], key: str = "parameters") -> Recipe:
        """Recipe, then scale, then the point. Raises DocumentError at the study's own line under `key`."""
        data, origins = merged(self.base, self.layers + overrides(self.document, (key,), point, self.base))
        metrics = [name for name in self.file.objectives if name in METRICS]
        if metrics:
            data["score"] = {**data.get("score", {}), "metrics": metrics}
        recipe = build(data, {**origins, (): (self.document, (key,))})
        assert isinstance(recipe, Recipe)  # noqa: S101  (load refuses others)
        return recipe

    @cached_property
    def rungs(self) -> tuple[int, ...]:
        """Samples of video training after which a trial is scored; the last is the full training."""
        training = self.recipe(self.file.incumbent, "incumbent").pretrain_videos
        if self.file.pruner is None:
            return (training.samples,)
        pruner = self.file.pruner
        shares = [pruner.factor ** (pruner.rungs - 1 - rung) for rung in range(pruner.rungs)]
        if training.samples % (shares[0] * training.batch_size):
            whole = shares[0] * training.batch_size
            better = max(1, round(training.samples / whole)) * whole
            raise self.document.error(
                ("pruner",),
                f"{training.samples} samples cannot be cut into rungs of whole batches of {training.batch_size}; "
                f"with these rungs pretrain_videos.samples must be a multiple of {whole}, such as {better}",
            )
        return tuple(training.samples // share for share in shares)

    @property
    def path(self) -> Path:
        """The study's file."""
        return self.document.path

    @property
    def recipe_name(self) -> str:
        """The recipe as a spec in another folder names it."""
        name = self.file.recipe
        return str(self.base.path.absolute()) if name.endswith((".yaml", ".yml")) else name

    @property
    def by_preference(self) -> bool:
        """Whether votes decide, one parameter at a time."""
        return self.file.objectives == (PREFERENCE,)

    @property
    def grid(self) -> int | None:
        """How many points the space has; null if a parameter is continuous."""
        size = 1
        for parameter in self.file.parameters.values():
            if parameter.levels is None:
                return None
            size *= parameter.levels
        return size


def load(name: str, scale: str = "laptop") -> Study:
    """
    Read and check a study (packaged name or path of a YAML file) at a scale.

    Raises DocumentError with file, line and column for anything that does not hold, before anything runs.
    """
    document = Document(find("studies", name))
    check_name(document)
    file = validate(StudyFile, document.data, {(): (document, ())})
    scale_document, scale_file = scale_of(scale)
    try:
        base = Document(find("recipes", file.recipe, document.path.parent))
    except AblateError as error:
        raise document.error(("recipe",), str(error)) from error
    study = Study(
        name=document.path.stem,
        file=file,
        document=document,
        scale=scale_document.path.stem,
        scale_path=scale_document.path,
        in_process=scale_file.in_process,
        core_seconds=scale_file.seconds_of(base.path.stem),
        plan_only=scale_file.plan_only,
        base=base,
        layers=sizes(scale_document, "settings", scale_file.settings, base, available("recipes")),
    )
    if is_task(base.data):
        raise document.error(("recipe",), "studies search recipes of text-to-video only, so far")
    overrides(document, ("parameters",), dict.fromkeys(file.parameters), base)  # for its complaints about names
    check_parameters(file, document)
    if PREFERENCE in file.objectives or file.rater is not None:
        check_preference(file, document)
    else:
        check_objectives(file, document, base.data)
    check_incumbent(file, document)
    check_ends(study)
    check_final(study)
    _ = study.rungs
    return study


def check_parameters(file: StudyFile, document: Document) -> None:
    """Each is one setting that trials may differ in; whole numbers have whole steps."""
    for name, parameter in file.parameters.items():
        if "*" in name:
            raise document.error(("parameters", name), "a parameter is one setting: name each by itself")
        if name.startswith("pretrain_videos.samples"):
            raise document.error(("parameters", name), "all trials train for equally many samples, as the scale says")
        numbers = (parameter.low, parameter.high, parameter.step)
        if is_whole(name) and not all(number is None or number.is_integer() for number in numbers):
            raise document.error(("parameters", name), f"{name} is a whole number: low, high and step must be whole")


def check_objectives(file: StudyFile, document: Document, base: Mapping[str, Any]) -> None:
    """Every objective is one that a stage yields; a pruner and a winner need one to go by."""
    for index, name in enumerate(file.objectives):
        if name not in DIRECTIONS:
            raise document.error(("objectives", index), f"no stage yields {name!r}; {nearest(name, list(DIRECTIONS))}")
        if name in METRICS and (reason := why_not(name, base)):
            raise document.error(("objectives", index), f"no stage yields {name!r}: it {reason}")
    check_once("objective", file.objectives, document, "objectives")
    if file.pruner and len(file.objectives) > 1:
        raise document.error(("pruner",), "a pruner ranks trials by one objective; leave it out, or name one objective")
    if file.pruner and file.objectives[0] in SUBSET_METRICS:
        raise document.error(("pruner",), f"{file.objectives[0]!r} needs no training, so there is nothing to cut short")


def check_preference(file: StudyFile, document: Document) -> None:
    """Preference is the only objective, of levels that can be listed, and somebody is named who votes."""
    if file.objectives != (PREFERENCE,):
        raise document.error(("objectives",), "a rater's `preference` is a study's only objective")
    if file.rater not in RATERS:
        said = "preference needs a rater" if file.rater is None else f"no rater {file.rater!r}"
        near = nearest(file.rater or VOTES, list(RATERS))
        raise document.error(("objectives",) if file.rater is None else ("rater",), f"{said}; {near}")
    for name, parameter in file.parameters.items():
        if parameter.levels is None:
            raise document.error(("parameters", name), "votes need levels: give choices, or a step")
    for key in ("pruner", "kept_share"):
        if getattr(file, key) is not None:
            raise document.error((key,), "all levels of a parameter are trained in full and voted on; leave it out")


def check_incumbent(file: StudyFile, document: Document) -> None:
    """The incumbent is one point of the space: it is the first trial, and what the winner is compared with."""
    for name, value in file.incumbent.items():
        if name not in file.parameters:
            raise document.error(
                ("incumbent", name), f"{name!r} is no parameter; {nearest(name, list(file.parameters))}"
            )
        if not file.parameters[name].holds(value):
            raise document.error(("incumbent", name), f"{value!r} is not a value that `parameters` allows for {name}")
    for name in file.parameters:
        if name not in file.incumbent:
            raise document.error(("incumbent",), f"says nothing of the parameter {name!r}")


def check_ends(study: Study) -> None:
    """Every parameter's ends make a recipe: an impossible range is refused before anything runs, at its own line."""
    for name, parameter in study.file.parameters.items():
        for end in parameter.ends:
            value = int(end) if isinstance(end, float) and end.is_integer() else end
            study.recipe({**study.file.incumbent, name: value})


def check_final(study: Study) -> None:
    """The winner is judged on seeds and reference clips that chose nothing, by a metric of trained runs."""
    file, document = study.file, study.document
    check_seeds(file.seeds, document, "seeds")
    if file.final is None:
        return
    check_seeds(file.final.seeds, document, "final", "seeds")
    primary = file.final.primary or file.objectives[0]
    if primary not in METRICS:
        raise document.error(("final",), f"{primary!r} is no metric of trained runs; retraining needs one as `primary`")
    if reason := why_not(primary, study.base.data):
        raise document.error(("final", "primary"), f"metric {primary!r} {reason}")
    if both := sorted(set(file.final.seeds) & set(file.seeds)):
        raise document.error(("final", "seeds"), f"seeds {both} also chose the winner; take fresh ones")
    if file.final.reference_seed == study.recipe(file.incumbent, "incumbent").reference.seed:
        raise document.error(("final", "reference_seed"), "that reference also chose the winner; take another seed")
