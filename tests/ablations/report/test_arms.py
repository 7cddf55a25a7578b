"""What arms are said to train on: from plans of the packaged specs and made-up subsets in a store."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from ablations.artifacts import Store, write_json
from ablations.plan import Graph, plan
from ablations.report.arms import arm
from ablations.report.notes import training
from ablations.report.result import AblationResult, Arm
from ablations.spec import Spec, load


class Qualities:
    """Stands for the clip table: the precision of a kept set is the number in its first clip's name."""

    def quality(self, kept: list[str]) -> dict[str, float | None]:
        return {"precision": float(kept[0]) / 10, "recall": None}


def choose(store: Store, key: str, *clips: str) -> None:
    folder = store.artifact(key)
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"clip_id": list(clips)}).write_parquet(folder / "subset.parquet")
    (folder / "funnel.json").write_text(json.dumps({"clips": 9, "kept": len(clips), "steps": []}))
    write_json(folder / "manifest.json", {})


def arms_of(spec: Spec, graph: Graph, store: Store) -> dict[str, Arm]:
    return {name: arm(name, spec, graph, store, Qualities()) for name in spec.arms}  # type: ignore[arg-type]


@pytest.fixture
def hq(tmp_path: Path) -> dict[str, Arm]:
    """The arms of hq_finetuning; pretraining may see five clips, finetuning sees two."""
    spec, store = load("hq_finetuning", "laptop"), Store(tmp_path / "store")
    graph = plan(spec)
    for roles in graph.runs.values():
        choose(store, roles["subset"], "1", "2", "3", "4", "5")
        choose(store, graph.nodes[roles["finetune"]].parents["subset"], "1", "2")
    return arms_of(spec, graph, store)


def test_an_arm_that_sees_one_batch_is_not_said_to_train_on_the_subset(hq: dict[str, Arm]) -> None:
    for name in ("image_only_early", "image_only_late"):
        only = hq[name]
        assert (only.kept, only.epochs, only.precision) == (None, None, None)
        assert only.idle == "video pretraining sees one batch"
    assert (hq["uncurated_late"].kept, hq["uncurated_late"].idle) == (5, None)


def test_clips_of_finetuning_are_named(hq: dict[str, Arm], ablation: AblationResult) -> None:
    assert {each.finetuned_on for each in hq.values()} == {2}
    told = " ".join(training(replace(ablation, arms=(*hq.values(),), runs=(), seeds=(), baseline="uncurated_late")))
    assert "image_only_early, image_only_late: video pretraining sees one batch" in told
    assert "all arms are then finetuned on another set, of 2 clips" in told


def test_nothing_is_told_of_arms_that_train_once(ablation: AblationResult) -> None:
    assert training(ablation) == []


def test_of_subsets_drawn_anew_by_seed_the_mean_quality_is_told(tmp_path: Path) -> None:
    spec, store = load("data_curation", "smoke"), Store(tmp_path / "store")
    graph = plan(spec)
    for seed in spec.seeds:
        choose(store, graph.runs["same_size_random", seed]["subset"], str(seed), "7")
    drawn = arms_of(spec, graph, store)["same_size_random"]
    assert (drawn.kept, drawn.drawn) == (2, True)
    assert drawn.precision == pytest.approx(0.1)
    assert drawn.recall is None
