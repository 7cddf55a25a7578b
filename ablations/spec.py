"""An ablation spec: a question, its arms and seeds, and the one metric that the verdict rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from ablations.checks import check, check_alike, check_metrics, check_name, check_read
from ablations.document import Document, validate
from ablations.errors import AblateError, nearest
from ablations.recipe import AnyRecipe, Override, absolute, build, is_task, merged, overrides, sizes
from ablations.stages import STAGES, check_stages
from svd_core.settings import Settings

HOME = Path(__file__).parent
ArmName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class SpecFile(Settings):
    """The keys of a spec file. `limits` says what the embedded corpus cannot show of the question."""

    question: str = Field(min_length=1)
    paper: str = ""
    recipe: str
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(min_length=1)
    baseline: str
    arms: dict[ArmName, dict[str, Any]] = Field(min_length=2)
    primary: str
    family: tuple[str, ...] | None = Field(None, min_length=1)
    metrics: tuple[str, ...] = Field(min_length=1)
    limits: str = ""


def _of_stages(seconds: dict[str, float]) -> dict[str, float]:
    check_stages(seconds, list(STAGES))
    return seconds


Seconds = Annotated[dict[str, Annotated[float, Field(ge=0)]], AfterValidator(_of_stages)]


class ScaleFile(Settings):
    """
    The keys of a scale file: sizes and steps, the metrics that make sense at that size, and what stages cost there.

    `settings` are those of text-to-video, `tasks` those of the other tasks, or under a recipe's name of that one.
    `core_seconds` is what one stage of each kind took on the machine that made the committed results, and
    `recipe_core_seconds`, under a recipe's name, what took that one's otherwise. `plan_only` says why a scale can be
    planned but not run.
    """

    about: str
    in_process: bool = False
    settings: dict[str, Any] = Field(default_factory=dict)
    tasks: dict[str, Any] = Field(default_factory=dict)
    metrics: tuple[str, ...] | None = None
    core_seconds: Seconds = Field(default_factory=dict)
    recipe_core_seconds: dict[str, Seconds] = Field(default_factory=dict)
    plan_only: str = ""

    def seconds_of(self, recipe: str) -> dict[str, float]:
        """Core-seconds by kind of stage, of a recipe by its name."""
        return {**self.core_seconds, **self.recipe_core_seconds.get(recipe, {})}


@dataclass(frozen=True)
class Spec:
    """A spec at one scale, every run of it resolved to a full recipe; `base` is recipe and scale without any arm."""

    name: str
    path: Path
    question: str
    paper: str
    limits: str
    scale: str
    scale_path: Path
    in_process: bool
    core_seconds: dict[str, float]
    plan_only: str
    seeds: tuple[int, ...]
    baseline: str
    primary: str
    family: tuple[str, ...] | None
    metrics: tuple[str, ...]
    arms: dict[str, AnyRecipe]
    base: AnyRecipe
    overrides: dict[str, dict[str, Any]]
    text: str

    def runs(self) -> list[tuple[str, int]]:
        """All (arm, seed) pairs; seeds outermost, so that every arm has its first seed before any has its second."""
        return [(arm, seed) for seed in self.seeds for arm in self.arms]


def available(kind: str) -> list[str]:
    """Names of the packaged `specs`, `studies`, `scales` or `recipes`."""
    return sorted(path.stem for path in (HOME / kind).glob("*.yaml"))


def find(kind: str, name: str, beside: Path | None = None) -> Path:
    """The file of a packaged name, or the user's own file if `name` ends in .yaml (relative to `beside`)."""
    if name.endswith((".yaml", ".yml")):
        return (beside or Path()) / name
    if name not in available(kind):
        kinds = {"studies": "study"}
        raise AblateError(
            f"no {kinds.get(kind, kind.removesuffix('s'))} named {name!r}; {nearest(name, available(kind))}"
        )
    return HOME / kind / f"{name}.yaml"


def taken(path: Path) -> str | None:
    """What else has results under the name of a user's own file: a packaged file, a scale, the benchmarks."""
    if path.resolve().parent.parent == HOME.resolve():
        return None
    kinds = {"specs": "a packaged spec", "studies": "a packaged study", "scales": "a scale"}
    found = [whose for kind, whose in kinds.items() if path.stem in available(kind)]
    return found[0] if found else "the benchmarks" if path.stem == "performance" else None


def scale_of(scale: str) -> tuple[Document, "ScaleFile"]:
    """A scale by its packaged name or the path of a YAML file, checked by itself."""
    document = Document(find("scales", scale))
    check_name(document)
    return document, validate(ScaleFile, document.data, {(): (document, ())})


def load(name: str, scale: str = "laptop") -> Spec:
    """
    Read and check a spec (packaged name or path of a YAML file) at a scale.

    Raises DocumentError with file, line and column for anything that does not hold, before anything runs.
    """
    document = Document(find("specs", name))
    check_name(document)
    file = validate(SpecFile, document.data, {(): (document, ())})
    try:
        recipe = Document(find("recipes", file.recipe, document.path.parent))
    except AblateError as error:
        raise document.error(("recipe",), str(error)) from error
    task = is_task(recipe.data)
    check(file, document, recipe.data)
    scale_document, scale_file = scale_of(scale)
    if scale_file.metrics and not task:
        check_metrics(scale_file.metrics, scale_document, recipe.data)
        if file.primary not in scale_file.metrics:
            raise scale_document.error(
                ("metrics",), f"leaves out {file.primary!r}, the primary metric of {document.path}"
            )
    if task and scale_file.settings and not scale_file.tasks:
        raise scale_document.error((), f"has no `tasks`: sizes for recipes such as {file.recipe}")
    section = "tasks" if task else "settings"
    layers = sizes(scale_document, section, getattr(scale_file, section), recipe, available("recipes"))
    metrics = file.metrics if task else scale_file.metrics or file.metrics
    data, origins = merged(recipe, layers)
    base = build(scored(data, metrics), origins)  # told at recipe or scale what is wrong there, not at an arm
    arms = {arm: resolve(arm, file, document, recipe, layers, metrics, base) for arm in file.arms}
    check_alike(arms, file.baseline, document)
    return Spec(
        name=document.path.stem,
        path=document.path,
        question=file.question,
        paper=file.paper,
        limits=file.limits,
        scale=scale_document.path.stem,
        scale_path=scale_document.path,
        in_process=scale_file.in_process,
        core_seconds=scale_file.seconds_of(recipe.path.stem),
        plan_only=scale_file.plan_only,
        seeds=file.seeds,
        baseline=file.baseline,
        primary=file.primary,
        family=file.family,
        metrics=metrics,
        arms=arms,
        base=base,
        overrides=file.arms,
        text=document.text,
    )


def resolve(
    arm: str,
    file: SpecFile,
    document: Document,
    recipe: Document,
    scale: list[Override],
    metrics: tuple[str, ...],
    base: AnyRecipe,
) -> AnyRecipe:
    """The full recipe of one arm: recipe, then scale, then the arm's own overrides."""

    def layers(name: str) -> list[Override]:
        return [absolute(layer, base) for layer in overrides(document, ("arms", name), file.arms[name], recipe)]

    own = layers(arm)
    data, origins = merged(recipe, scale + own)
    if file.arms[arm]:
        origins = {**origins, (): (document, ("arms", arm))}  # what holds between stages, and no longer does
    others = [name for name in file.arms if name != arm]
    for at in subsets(data):
        sample = inside(data, at).get("sample")
        if isinstance(sample, dict) and isinstance(sample.get("match"), str):
            other, place = sample["match"], ("arms", arm, ".".join((*at, "sample")), "match")
            if other not in others:
                raise document.error(place, f"unknown arm {other!r}; {nearest(other, others)}")
            subset = inside(merged(recipe, scale + layers(other))[0], at)
            if subset.get("sample"):
                raise document.error(place, f"arm {other!r} is itself a random sample; match an arm that filters")
            sample["match"] = subset.get("keep", {})
    result = build(scored(data, metrics), origins)
    check_read(own, result)
    return result


def scored(data: Mapping[str, Any], metrics: tuple[str, ...]) -> dict[str, Any]:
    """A recipe's values with the metrics that its spec asks for."""
    return {**data, "score": {**(data.get("score") or {}), "metrics": list(metrics)}}


def subsets(data: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Where a recipe's values say which clips are trained on; a task has a subset for each `data` that it names."""
    return [("subset", name) for name in data.get("subset") or ()] if is_task(data) else [("subset",)]


def inside(data: Mapping[str, Any], at: tuple[str, ...]) -> Mapping[str, Any]:
    """The mapping at a place of a recipe's values; an empty one where there is none."""
    for name in at:
        found = data.get(name)
        data = found if isinstance(found, dict) else {}
    return data
