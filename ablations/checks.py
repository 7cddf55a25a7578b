"""What must hold of a spec beyond the kinds of its values, told at the place where it is written."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ablations.document import Document
from ablations.errors import nearest
from ablations.recipe import AnyRecipe, Override, is_task
from bench.settings import METRICS, TEXT_METRICS, VIEW_METRICS

if TYPE_CHECKING:
    from ablations.spec import SpecFile

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_name(document: Document) -> None:
    """A file's name is that of its results and jobs: one that a folder can have."""
    path = document.path
    if not NAME.fullmatch(path.stem):
        expected = "letters, digits, dots, dashes and underscores, beginning with a letter or digit"
        raise document.error((), f"the file's name, {path.name!r}, names its results: expected {expected}")


def check(file: "SpecFile", document: Document, recipe: Mapping[str, Any]) -> None:
    """What holds between the keys of a spec over a recipe's values."""
    if file.baseline not in file.arms:
        raise document.error(("baseline",), f"unknown arm {file.baseline!r}; {nearest(file.baseline, list(file.arms))}")
    check_seeds(file.seeds, document, "seeds")
    others = [arm for arm in file.arms if arm != file.baseline]
    for index, arm in enumerate(file.family or ()):
        if arm not in others:
            raise document.error(("family", index), f"unknown arm {arm!r}; {nearest(arm, others)}")
    check_once("arm", file.family or (), document, "family")
    check_metrics(file.metrics, document, recipe)
    if file.primary not in METRICS:
        raise document.error(("primary",), f"unknown metric {file.primary!r}; {nearest(file.primary, list(METRICS))}")
    if file.primary not in file.metrics:
        raise document.error(("primary",), f"{file.primary!r} is not among `metrics`: {', '.join(file.metrics)}")


def check_once(what: str, values: Sequence[object], document: Document, *key: str, why: str = "") -> None:
    """No value of a list stands twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise document.error((*key, index), f"{what} {value!r} stands twice{why}")


def check_seeds(seeds: Sequence[int], document: Document, *key: str) -> None:
    """Every seed is another run."""
    check_once("seed", seeds, document, *key, why="; a repeated run is no new evidence")


def check_read(layers: Sequence[Override], recipe: AnyRecipe) -> None:
    """An arm changes nothing that no stage of its recipe reads: it would be trained, and be another arm once more."""
    for layer in layers:
        if "*" in str(layer.place[-1]):
            continue  # some of all may read it
        inner = [f"{layer.name}.{key}" for key in layer.value] if isinstance(layer.value, dict) else []
        for name in (layer.name, *inner):
            if needs := unread(recipe, name.split(".")):
                raise layer.document.error(layer.place, f"nothing reads {name} here; it needs {needs}")


def unread(recipe: AnyRecipe, name: list[str]) -> str | None:
    """What a setting needs for any stage of the recipe to read it; None for what is read."""
    holder: Any = recipe
    for part in name[:-1]:
        holder = holder.get(part) if isinstance(holder, dict) else getattr(holder, part, None)
    return getattr(holder, "unread", {}).get(name[-1])


def check_metrics(metrics: tuple[str, ...], document: Document, recipe: Mapping[str, Any]) -> None:
    """Every metric is known, named once, and one that runs of the recipe can have."""
    for index, metric in enumerate(metrics):
        if metric not in METRICS:
            raise document.error(("metrics", index), f"unknown metric {metric!r}; {nearest(metric, list(METRICS))}")
        if reason := why_not(metric, recipe):
            raise document.error(("metrics", index), f"metric {metric!r} {reason}")
    check_once("metric", metrics, document, "metrics")


def why_not(metric: str, recipe: Mapping[str, Any]) -> str | None:
    """Why runs of a recipe cannot be measured by a metric; null if they can."""
    if not is_task(recipe):
        truth = "compares clips with their true ones, which a run does not have: `ablate score` measures it"
        return truth if METRICS[metric].paired else None
    if metric == "toy_clip_score":
        return "needs the small encoder, which runs of this recipe do not train"
    if metric in TEXT_METRICS and last_task(recipe) != "text_to_video":
        return "compares clips with their prompts, and runs of this recipe are given none"
    if metric in VIEW_METRICS and (recipe.get("reference") or {}).get("render") != "orbits":
        return "needs cameras, which only orbits have (reference: {render: orbits})"
    return None


def last_task(recipe: Mapping[str, Any]) -> object:
    """The task of a recipe's last phase, whose clips are scored."""
    phases = recipe["phases"]
    return phases.get((recipe.get("order") or list(phases))[-1], {}).get("task")


def check_alike(arms: Mapping[str, AnyRecipe], baseline: str, document: Document) -> None:
    """All arms are judged on the same clips by the same encoder, and no two are one."""
    by_settings: dict[str, str] = {}
    for arm, recipe in arms.items():
        for name, ours, theirs in zip(JUDGES, judges(recipe), judges(arms[baseline]), strict=True):
            if ours != theirs:
                raise document.error(
                    ("arms", arm), f"its {name} differs from that of {baseline!r}: their scores could not be compared"
                )
        twin = by_settings.setdefault(recipe.model_dump_json(), arm)
        if twin != arm:
            raise document.error(("arms", arm), f"the same settings as {twin!r}: there is nothing to compare")


JUDGES = ("reference", "score_encoder", "sample.clips", "last phase's task")


def judges(recipe: AnyRecipe) -> tuple[Any, ...]:
    """What scores depend on beside the clips that are scored: values of JUDGES."""
    chain = getattr(recipe, "chain", None)  # the task of the last says which frames a run is given
    return recipe.reference, getattr(recipe, "score_encoder", None), recipe.sample.clips, chain and chain[-1].task
