"""A recipe: the full settings of every stage, before a scale and an arm override some of them."""

import copy
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, Self, get_origin

from pydantic import BaseModel, model_validator

from ablations.document import Document, Origins, Place, submodel, validate
from ablations.errors import nearest
from ablations.task_recipe import TaskRecipe
from bench.settings import ScoreSettings, check_frames
from svd_core.curation.settings import CurationSettings, SubsetSettings
from svd_core.data.settings import SIZES
from svd_core.settings import (
    AutoencoderSettings,
    CorpusSettings,
    EncodeSettings,
    FinetuneSettings,
    ImagePretrainingSettings,
    ImagesSettings,
    ReferenceSettings,
    SampleSettings,
    Settings,
    ToyClipSettings,
    VideoPretrainingSettings,
    whole_batches,
)

SEEDED = ("subset", "pretrain_videos", "finetune_subset", "finetune", "sample")
"""Stages whose seed is the run's. Everything before them is shared by all arms and seeds."""


class Recipe(Settings):
    """Settings of every stage, by the stage's name. Runs without `finetune` are sampled after `pretrain_videos`.

    `pretraining_side`: the share of their side that `pretrain_videos` sees clips at, where `finetune` sees them whole.
    `finetune_subset`: the clips that `finetune` sees, instead of `subset`.
    """

    images: ImagesSettings
    corpus: CorpusSettings
    reference: ReferenceSettings
    filter_encoder: ToyClipSettings
    score_encoder: ToyClipSettings
    curate: CurationSettings
    autoencoder: AutoencoderSettings
    encode: EncodeSettings
    pretrain_images: ImagePretrainingSettings
    subset: SubsetSettings
    pretrain_videos: VideoPretrainingSettings
    pretraining_side: float | None = None
    finetune_subset: SubsetSettings | None = None
    finetune: FinetuneSettings | None = None
    sample: SampleSettings
    score: ScoreSettings

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        """Generated and reference clips must be of one length and size, images of that size too."""
        for stage, name in (("reference", "frames"), ("reference", "resolution"), ("images", "resolution")):
            ours, theirs = getattr(self.curate, name), getattr(getattr(self, stage), name)
            if ours != theirs:
                raise ValueError(f"curate.{name} is {ours} but {stage}.{name} is {theirs}; they must be equal")
        check_frames(self.score.metrics, self.curate.frames)
        if self.sample.clips > self.reference.clips:
            raise ValueError(
                f"sample.clips is {self.sample.clips}, but reference.clips, whose captions are sampled, is "
                f"{self.reference.clips}"
            )
        return self

    @model_validator(mode="after")
    def _finetuned(self) -> Self:
        """What only a second training makes sense of needs one, and it trains on clips of their whole size."""
        for name in ("pretraining_side", "finetune_subset"):
            if getattr(self, name) is not None and self.finetune is None:
                raise ValueError(f"{name} needs finetune, the training that follows on other clips")
        if self.encode.resolution is not None:
            raise ValueError("encode.resolution: say pretraining_side, for pretrain_videos alone sees smaller clips")
        whole = self.curate.resolution
        unit = self.autoencoder.patch * 2 ** (len(self.pretrain_images.network.block_out_channels) - 1)
        shares = [side / whole for side in range(unit, whole, unit) if whole % side == 0]
        if self.pretraining_side not in (None, *shares):
            raise ValueError(f"pretraining_side {self.pretraining_side}: clips of {whole} px reduce to {shares}")
        return self

    @property
    def pretraining_resolution(self) -> int | None:
        """The side in pixels of what `pretrain_videos` sees; null for clips as they are."""
        return None if self.pretraining_side is None else round(self.pretraining_side * self.curate.resolution)

    def with_seed(self, seed: int) -> "Recipe":
        """This recipe for one run. A subset that draws nothing at random is the same for every seed."""
        stages = {name: getattr(self, name) for name in SEEDED}
        drawing = {n: s for n, s in stages.items() if s and not (isinstance(s, SubsetSettings) and s.sample is None)}
        return self.model_copy(update={name: s.model_copy(update={"seed": seed}) for name, s in drawing.items()})

    @property
    def lengths(self) -> tuple[int, int]:
        """Samples that a run trains on, and those of finetuning after them."""
        return self.pretrain_videos.samples, self.finetune.samples if self.finetune else 0


AnyRecipe = Recipe | TaskRecipe


class Override(NamedTuple):
    """One dotted name with its new value, and where it was written."""

    name: str
    value: Any
    document: Document
    place: Place


def overrides(document: Document, at: Place, settings: Mapping[str, Any], recipe: Document) -> list[Override]:
    """The dotted overrides of a scale or an arm; unknown names are refused with the nearest valid one.

    `*` stands for every name of a mapping: `phases.*.steps`.
    """
    known = list(dotted_names(recipe_class(recipe.data), recipe.data))
    drawn = [f"subset.{name}" for name in recipe.data.get("subset", ())]
    phases = [f"phases.{name}" for name in recipe.data.get("seeded", ())]
    seeded = (*drawn, *phases, "sample") if is_task(recipe.data) else SEEDED
    fixed = {f"{stage}.seed": "seeds" for stage in seeded} | {"score.metrics": "metrics"}
    result: list[Override] = []
    for name, value in settings.items():
        place = (*at, name)
        meant = [each for each in known if fits(name.split("."), each.split("."))]
        if "*" in name and not is_task(recipe.data):  # every stage there is: none is brought in
            meant = [each for each in meant if each.partition(".")[0] in recipe.data]
        if not meant:
            raise document.error(place, f"unknown setting {name!r}; {nearest(name, known)}")
        if "*" in name:  # sizes of what is rendered
            meant = [each for each in meant if not rendering_of_a_folder(each.split("."), recipe.data)]
        for each in meant:
            for inner in (each, *(f"{each}.{key}" for key in (value if isinstance(value, dict) else ()))):
                if inner in fixed:
                    raise document.error(place, f"{inner} is set by the spec's `{fixed[inner]}`, for all arms alike")
            for before in result:
                if lost(before, each, name):
                    raise document.error(place, f"this replaces {before.place[-1]!r} above it; say it in one place")
        result += [Override(each, value, document, place) for each in meant]
    return result


def rendering_of_a_folder(name: list[str], data: Mapping[str, Any]) -> bool:
    """Whether a setting is one of renderings, and the recipe's data of that name a folder."""
    if len(name) != 3 or name[0] != "data" or name[2] not in SIZES:
        return False
    return "folder" in data["data"][name[1]]


def lost(before: Override, name: str, written: str) -> bool:
    """Whether an override would be lost to a later `name`: an exact setting after `*` is meant to replace that."""
    inside = before.name == name or before.name.startswith(f"{name}.")
    return inside and ("*" in written or "*" not in str(before.place[-1]))


def sizes(
    scale: Document, at: str, settings: Mapping[str, Any], recipe: Document, recipes: Collection[str]
) -> list[Override]:
    """A scale's overrides, of the stages that a recipe has: sizing an optional stage must not bring it in.

    Under the name of one of `recipes` stands what is of that one alone, and comes after what is of all.
    """
    shared = {name: value for name, value in settings.items() if name not in recipes}
    layers = overrides(scale, (at,), shared, recipe)
    if own := settings.get(recipe.path.stem):
        if not isinstance(own, dict):
            raise scale.error((at, recipe.path.stem), f"settings of recipe {recipe.path.stem}, a mapping, are expected")
        layers += overrides(scale, (at, recipe.path.stem), own, recipe)
    return [layer for layer in layers if is_task(recipe.data) or layer.name.partition(".")[0] in recipe.data]


def fits(pattern: list[str], name: list[str]) -> bool:
    """Whether a name is one that the pattern means, part by part."""
    return len(pattern) == len(name) and all(part in ("*", own) for part, own in zip(pattern, name, strict=True))


def is_task(data: Mapping[str, Any]) -> bool:
    """Whether a recipe's values are those of a task, which has phases, and not of the stages of text-to-video."""
    return "phases" in data


def recipe_class(data: Mapping[str, Any]) -> type[AnyRecipe]:
    """The class of a recipe's values."""
    return TaskRecipe if is_task(data) else Recipe


def dotted_names(model: type[BaseModel], data: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every setting that can be overridden, from whole stages (`subset`) down to leaves (`subset.keep.motion.min`).

    data: the recipe's values, whose own names for entries of mappings count (`phases.images.lr`).
    """
    for name, field in model.model_fields.items():
        yield prefix + name
        inner = submodel(field.annotation)
        own = data.get(name)
        values = own if isinstance(own, dict) else {}
        if inner and get_origin(field.annotation) is dict:
            for key in values:
                yield f"{prefix}{name}.{key}"
                yield from dotted_names(inner, {}, f"{prefix}{name}.{key}.")
        elif inner:
            yield from dotted_names(inner, values, f"{prefix}{name}.")


def absolute(layer: Override, base: AnyRecipe) -> Override:
    """An override by `{times: x}` as the value that it comes to: x times what recipe and scale say.

    Whole numbers are rounded, numbers of samples to whole batches; at least one of either is left.
    """
    if not isinstance(layer.value, dict) or layer.value.keys() != {"times"}:
        return layer
    times = layer.value["times"]
    *parents, leaf = layer.name.split(".")
    holder: Any = base
    for parent in parents:
        holder = holder.get(parent) if isinstance(holder, dict) else getattr(holder, parent, None)
    value = getattr(holder, leaf, None)
    if not is_number(value) or not is_number(times) or not 0 <= times < math.inf:
        message = f"times multiplies a number by a number, 0 or more; {layer.name} is {value!r}, times is {times!r}"
        raise layer.document.error((*layer.place, "times"), message)
    if isinstance(value, int):
        return layer._replace(value=whole_batches(times * value, holder.batch_size if leaf == "samples" else 1))
    return layer._replace(value=times * value)


def is_number(value: object) -> bool:
    """Whether a value can be multiplied; true and false cannot."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def merged(document: Document, layers: list[Override]) -> tuple[dict[str, Any], dict[Place, tuple[Document, Place]]]:
    """The recipe's values with each override put in its place (whole, later ones last), and where each came from."""
    data = copy.deepcopy(document.data)
    origins: dict[Place, tuple[Document, Place]] = {place: (document, place) for place in ((), *document.places)}
    for override in layers:
        *parents, leaf = override.name.split(".")
        target = data
        for parent in parents:
            if not isinstance(target.get(parent), dict):
                target[parent] = {}
            target = target[parent]
        target[leaf] = copy.deepcopy(override.value)
        where: Place = tuple(override.name.split("."))
        origins = {place: origin for place, origin in origins.items() if place[: len(where)] != where}
        for length in range(1, len(where) + 1):  # what no longer holds around it is told here as well
            origins[where[:length]] = (override.document, override.place)
    return data, origins


def build(data: Mapping[str, Any], origins: Origins) -> AnyRecipe:
    """Validate merged values into a recipe."""
    return validate(recipe_class(data), data, origins)
