"""What each arm of a report trains on, from its subsets and the clip table."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import polars as pl

from ablations.artifacts import Store, read_json
from ablations.plan import Graph
from ablations.recipe import AnyRecipe, Recipe
from ablations.report.result import Arm, Curation, FunnelStep
from ablations.spec import Spec
from bench.curation import axis_auc, cut_f1, kept_quality


def present(store: Store, key: str) -> Path | None:
    """The artifact's folder if it is finished."""
    return store.artifact(key) if store.has(key) else None


class Tables:
    """The clip table and the planted truth, read once; both None where curation is not done."""

    def __init__(self, spec: Spec, graph: Graph, store: Store) -> None:
        roles = next(iter(graph.runs.values()))  # the other tasks render their clips and curate nothing
        corpus, curated = (present(store, roles[role]) if role in roles else None for role in ("corpus", "curate"))
        self.clips = pl.read_parquet(curated / "clips.parquet") if curated else None
        self.truth = pl.read_parquet(corpus / "truth.parquet") if corpus else None
        self.curation = None
        if curated and self.clips is not None and self.truth is not None:
            scores = cut_f1(pl.read_parquet(curated / "transitions.parquet"), self.truth)
            self.curation = Curation(
                sources=self.clips["source"].n_unique(),
                clips=self.clips.filter(pl.col("error").is_null()).height,
                table=curated / "clips.parquet",
                cut_f1={kind: entry["f1"] for kind, entry in scores.items()},
                auc=axis_auc(self.clips, self.truth),
            )

    def quality(self, kept: list[str]) -> Mapping[str, float | None]:
        """Precision and recall of a kept set against the truth; empty if that cannot be told."""
        if self.clips is None or self.truth is None:
            return {}
        return kept_quality(self.clips, kept, self.truth)


def arm(name: str, spec: Spec, graph: Graph, store: Store, tables: Tables) -> Arm:
    """One arm with its subset: of one drawn anew for every seed the first's size and funnel, the mean quality."""
    recipe = spec.arms[name]
    samples, finetuned = recipe.lengths
    finetuned_on = finetuning_clips(graph.runs[name, spec.seeds[0]], graph, store)
    known = Arm(name, spec.overrides[name], samples=samples, finetuned=finetuned, finetuned_on=finetuned_on)
    if hardly_trains(recipe):
        return replace(known, idle="video pretraining sees one batch")
    subsets = subsets_of(name, graph, store)
    if not subsets:
        return known
    kept = [pl.read_parquet(subset / "subset.parquet")["clip_id"].to_list() for subset in subsets]
    qualities = [tables.quality(ids) for ids in kept]
    return replace(
        known,
        kept=len(kept[0]),
        funnel=tuple(FunnelStep(**step) for step in read_json(subsets[0] / "funnel.json")["steps"]),
        precision=mean(quality.get("precision") for quality in qualities),
        recall=mean(quality.get("recall") for quality in qualities),
        drawn=len(subsets) > 1,
    )


def subsets_of(name: str, graph: Graph, store: Store) -> list[Path]:
    """The arm's subsets that are made: several where each seed draws its own."""
    runs = [roles for (arm_name, _), roles in graph.runs.items() if arm_name == name]
    keys = dict.fromkeys(roles["subset"] for roles in runs if "subset" in roles)
    return [folder for key in keys if (folder := present(store, key))]


def hardly_trains(recipe: AnyRecipe) -> bool:
    """Whether no training sees more than a batch of `subset`: an arm that stands for the image model alone."""
    if not isinstance(recipe, Recipe) or (recipe.finetune and not recipe.finetune_subset):
        return False
    return recipe.pretrain_videos.samples <= recipe.pretrain_videos.batch_size


def finetuning_clips(roles: Mapping[str, str], graph: Graph, store: Store) -> int | None:
    """The number of clips that finetuning has of its own; null without such, or before they are chosen."""
    if "finetune" not in roles:
        return None
    key = graph.nodes[roles["finetune"]].parents["subset"]
    folder = present(store, key) if key != roles["subset"] else None
    return read_json(folder / "funnel.json")["kept"] if folder else None


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is known."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
