"""Specs on folders of one's own: what is refused, what is shared, and a run from videos to its report."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from ablations.artifacts import Store
from ablations.errors import AblateError, DocumentError, PlanError, RunError
from ablations.flops import counted
from ablations.job import check_outside
from ablations.new import write_new
from ablations.outside import folder_digest
from ablations.plan import check_folders, plan
from ablations.run import flat_settings
from ablations.spec import load
from svd_core.curation.table import SCHEMA
from svd_core.data.settings import STILLS
from svd_core.data.video import write_h264

SCALE = """
about: tiny
in_process: true
tasks:
  network: {block_out_channels: [32, 32], attention_levels: [true, true], num_attention_heads: [2, 2]}
  autoencoder: {block_out_channels: [32, 32], batch_size: 1, steps: 2}
  phases.*.resolution: [16, 16]
  phases.*.frames: 4
  phases.*.steps: 2
  phases.*.batch_size: 2
  phases.images.frames: 1
  generation.steps: 2
  reference: {folder: held, count: 2, frames: 4, resolution: 16}
  sample.clips: 2
"""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clip tables without shards, enough to plan with, in the working folder: five clips of four videos each."""
    monkeypatch.chdir(tmp_path)
    folder_digest.cache_clear()
    for name in ("mine", "held"):
        (tmp_path / name).mkdir()
        row = {"num_frames": 16, "shard": "none.tar"}
        rows = [{"clip_id": f"{name}-{n}", "source": f"{name}/{n % 4}.mp4", **row} for n in range(5)]
        pl.DataFrame(rows, schema=SCHEMA).write_parquet(tmp_path / name / "clips.parquet")
    return tmp_path


def test_a_new_spec_is_about_ones_own_folders(folders: Path) -> None:
    spec = load(str(write_new("footage", Path("mine"), Path("held"))))
    graph = plan(spec)
    stages = [node.stage for node in graph.nodes.values()]
    assert {stage: stages.count(stage) for stage in ("curated", "held_out", "records", "subset", "train_phase")} == {
        "curated": 1,  # both entries of `data` are views of one folder
        "held_out": 1,
        "records": 1,  # and images and videos of one size are encoded once
        "subset": 5,  # all, moving, and a draw for each seed
        "train_phase": 10,  # Stage I is shared
    }
    drawn = graph.nodes[graph.runs["fewer_clips", 2]["subset"]]
    assert drawn.settings["sample"]["match"]["motion"]["drop_lowest"] == 0.25
    assert drawn.settings["seed"] == 2
    recipe = folders / "footage_recipe.yaml"
    recipe.write_text(recipe.read_text().replace("subset: {clips: {}}", "subset: {stills: {}, clips: {}}"))
    roles = plan(load("footage.yaml")).runs["fewer_clips", 2]
    assert roles["subset"] == graph.runs["fewer_clips", 2]["subset"], "the last phase's, of which a report tells"
    assert "subset:stills" in roles
    assert (spec.arms["moving"].reference.count, spec.arms["moving"].sample.clips) == (4, 4), "one of each video"
    with pytest.raises(AblateError, match=r"nothing has no clips.parquet"):
        write_new("other", Path("nothing"), Path("held"))
    with pytest.raises(AblateError, match="--clips and --held-out come together"):
        write_new("other", Path("mine"))
    with pytest.raises(AblateError, match=r"footage_recipe.yaml exists already"):
        write_new("footage", Path("mine"), Path("held"))
    table = Path("held/clips.parquet")
    pl.read_parquet(table)[:1].write_parquet(table)
    with pytest.raises(AblateError, match="held has clips of 1 video; FVD compares sets of 2 at the least"):
        write_new("other", Path("mine"), Path("held"))


def test_what_is_in_a_folder_counts_and_not_where_it_lies(folders: Path) -> None:
    path = write_new("footage", Path("mine"), Path("held"))
    before = plan(load(str(path))).nodes.keys()
    (folders / "mine").rename(folders / "moved")
    recipe = folders / "footage_recipe.yaml"
    recipe.write_text(recipe.read_text().replace('"mine"', '"moved"'))
    assert plan(load(str(path))).nodes.keys() == before
    told = flat_settings(plan(load(str(path))))
    (folders / "moved" / "clips.parquet").write_text("scored again")
    folder_digest.cache_clear()
    again = plan(load(str(path)))
    assert not before & again.nodes.keys()  # what is held out must not be trained on, so it was looked at beside it
    place = "moving/data:clips.folder, its content"
    assert flat_settings(again)[place] != told[place]


def test_all_arms_see_the_same_clips_of_a_folder(folders: Path) -> None:
    """As long as any arm's phase needs, whatever an arm leaves out, and however the folder is written."""
    path = write_new("footage", Path("mine"), Path("held"))
    text = path.read_text().replace(
        "unfiltered: {}", "unfiltered: {phases.videos.data: stills}\n  short: {order: [videos]}"
    )
    path.write_text(text)
    recipe = folders / "footage_recipe.yaml"
    recipe.write_text(recipe.read_text().replace('stills: {folder: "mine"}', 'stills: {folder: "./mine"}'))
    graph = plan(load(str(path)))
    stages = [node.stage for node in graph.nodes.values()]
    assert (stages.count("curated"), stages.count("records")) == (1, 1)
    (view,) = (node for node in graph.nodes.values() if node.stage == "curated")
    assert (view.settings["frames"], view.settings["captioned"]) == (10, True)


@pytest.mark.parametrize("scale", ["smoke", "node", "paper"])
def test_packaged_scales_size_what_is_rendered_and_leave_folders_alone(folders: Path, scale: str) -> None:
    spec = load(str(write_new("footage", Path("mine"), Path("held"))), scale)
    assert (spec.base.data["clips"].folder, spec.base.data["clips"].count) == ("mine", 96)
    assert spec.base.phases["images"].steps != load("footage.yaml").base.phases["images"].steps
    assert plan(spec).nodes


def test_interpolation_reads_the_picture_of_its_own_last_frame(folders: Path) -> None:
    """Records of a longer clip would hold that of another."""
    path = write_new("footage", Path("mine"), Path("held"))
    between = (
        "phases:\n  between: {task: frame_interpolation, data: clips, resolution: [32, 32], frames: 5, steps: 20,"
        " batch_size: 4, lr: 1e-3}\n"
    )
    recipe = folders / "footage_recipe.yaml"
    text = recipe.read_text().replace("phases:\n", between).replace("seeded: [videos]", "seeded: [between]")
    text = text.replace("count: 4, frames: 10", "count: 4, frames: 5")
    recipe.write_text(text + "order: [images, videos, between]\n")
    path.write_text(path.read_text().replace("primary: fvd", "primary: lpips").replace("[fvd", "[lpips"))
    graph = plan(load(str(path)))
    roles = graph.runs["unfiltered", 0]
    frames = {phase: graph.nodes[roles[f"records:{phase}"]].settings["frames"] for phase in ("videos", "between")}
    assert frames == {"videos": 10, "between": 5}


def test_images_alone_are_drawn_from_many_frames(folders: Path) -> None:
    path = write_new("footage", Path("mine"), Path("held"))
    (folders / "other").mkdir()
    (folders / "other" / "clips.parquet").write_text("other")
    recipe = folders / "footage_recipe.yaml"
    recipe.write_text(recipe.read_text().replace('stills: {folder: "mine"}', 'stills: {folder: "other"}'))
    graph = plan(load(str(path)))
    found = {
        (node.settings["frames"], node.settings.get("at_most"))
        for node in graph.nodes.values()
        if node.stage == "records"
    }
    assert found == {(10, None), (None, STILLS)}


def test_a_folder_that_changes_after_the_plan_is_not_read(folders: Path) -> None:
    """Neither by the stage that was planned on it, nor by one that reads an older view of it."""
    graph, store = plan(load(str(write_new("footage", Path("mine"), Path("held"))))), Store(folders / "store")
    (view,) = (node for node in graph.nodes.values() if node.stage == "curated")
    check_outside(store, view)
    (folders / "mine" / "clips.parquet").write_text("curated again")
    with pytest.raises(RunError, match=r"mine has changed since; the same command plans anew"):
        check_outside(store, view)
    facts = {"stage": "curated", "settings": view.settings, "parents": {}, "fingerprint": view.fingerprint}
    store.artifact(view.key).mkdir(parents=True)
    (store.artifact(view.key) / "manifest.json").write_text(json.dumps(facts))
    reader = next(node for node in graph.nodes.values() if node.stage == "records")
    with pytest.raises(RunError, match=r"mine has changed since; the same command plans anew"):
        check_outside(store, replace(reader, parents={"curated": view.key}))


def test_a_filter_that_keeps_nothing_is_told_with_the_plan(folders: Path) -> None:
    table = folders / "mine" / "clips.parquet"
    pl.read_parquet(table).with_columns(caption=pl.lit("a wall")).write_parquet(table)
    with pytest.raises(PlanError, match=r"a subset of .*mine: keep: none of 5 clips has a score of motion"):
        check_folders(plan(load(str(write_new("footage", Path("mine"), Path("held"))))))


def test_what_networks_of_ones_own_cost_is_unknown(folders: Path) -> None:
    path = write_new("footage", Path("mine"), Path("held"))
    (folders / "sd").mkdir()
    (folders / "sd" / "config.json").write_text("{}")

    def costs() -> set[bool]:
        graph = plan(load(str(path)))
        return {counted(node, graph) is None for node in graph.nodes.values() if node.stage == "train_phase"}

    assert costs() == {False}
    recipe = folders / "footage_recipe.yaml"
    recipe.write_text(recipe.read_text() + "start: sd\n")
    assert costs() == {True}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("subset.clips.keep", "subset.stills.keep", "unknown setting 'subset.stills.keep'"),
        ("subset.clips.keep: {motion: {drop_lowest: 0.25}}", "subset.clips: x", "subset.clips: should be an object"),
        ("match: moving", "match: movin", "unknown arm 'movin'; did you mean 'moving'"),
        ("moving:\n    ", "moving:\n    subset.clips.seed: 3\n    ", "subset.clips.seed is set by the spec's `seeds`"),
        ("unfiltered: {}", "unfiltered: {data.clips.subset: x}", "a spec chooses clips by its recipe's `subset"),
        ("unfiltered: {}", "unfiltered: {data.clips: {render: clips}}", "subset names 'clips', which is no folder"),
        (
            "unfiltered: {}",
            "unfiltered: {phases.videos.frames: 8, reference.frames: 8}",
            "metric 'fvd' needs clips of 9 frames or more; these have 8",
        ),
        ("unfiltered: {}", "unfiltered: {execution.micro_batch: 2}", "in a spec the cluster file has `compute`"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(folders: Path, old: str, new: str, said: str) -> None:
    path = write_new("footage", Path("mine"), Path("held"))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DocumentError, match=r"footage.yaml:\d+:\d+: ") as refused:
        load(str(path))
    assert said in str(refused.value)


def ablate(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "ABLATE_STORE": str(folder / "store"), "COLUMNS": "300"}
    command = [sys.executable, "-m", "ablations.cli", *arguments]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


@pytest.mark.slow
def test_from_videos_to_a_report(tmp_path: Path) -> None:
    for name, count in (("videos", 4), ("others", 2)):
        (tmp_path / name).mkdir()
        for number in range(count):
            wall = np.random.default_rng(count + number).integers(0, 256, (8, 8, 3), np.uint8)
            wall = cv2.resize(wall, (128, 128), interpolation=cv2.INTER_CUBIC)
            moving = [wall[:48, place * number : place * number + 64] for place in range(20)]
            write_h264(tmp_path / name / f"{number}.mp4", moving, 10)
            (tmp_path / name / f"{number}.txt").write_text(f"a pattern of {number}")
    for source, out in (("videos", "mine"), ("others", "held")):
        ablate(tmp_path, "curate", source, "--out", out)
    ablate(tmp_path, "new", "footage", "--clips", "mine", "--held-out", "held")
    (tmp_path / "tiny.yaml").write_text(SCALE)
    spec = tmp_path / "footage.yaml"
    text = spec.read_text().replace("[0, 1, 2]", "[0]").replace("fvd, fd_vgg16", "fd_vgg16")
    spec.write_text(text.replace("primary: fvd", "primary: fd_vgg16"))
    run = ("run", "footage.yaml", "--scale", "tiny.yaml", "--out", "report")
    ablate(tmp_path, *run)
    rows = pl.read_csv(tmp_path / "report" / "table.csv")
    assert rows["arm"].to_list() == ["unfiltered", "moving", "fewer_clips"]
    assert rows["FD[vgg16]"].null_count() == 0
    store = Store(tmp_path / "store")
    funnels = [json.loads(path.read_text()) for path in store.root.glob("artifacts/subset-*/funnel.json")]
    assert sorted(funnel["kept"] for funnel in funnels) == [3, 3, 4]
    assert "motion" in (tmp_path / "report" / "report.html").read_text()
    (tmp_path / "mine").rename(tmp_path / "moved")
    recipe = tmp_path / "footage_recipe.yaml"
    recipe.write_text(recipe.read_text().replace('"mine"', '"moved"'))
    again = ablate(tmp_path, *run)
    assert "mine: no such folder" in again
    assert "1 stages to run" in again
