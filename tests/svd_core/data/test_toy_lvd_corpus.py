import json
import math
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from svd_core.data.toy_lvd import files as toy_lvd_files
from svd_core.data.toy_lvd import render_corpus, render_reference
from svd_core.data.toy_lvd.defects import KINDS, LOOKS, MAX_DRIFT, SHARES, Defects
from svd_core.data.toy_lvd.files import truth
from svd_core.data.toy_lvd.scenes import VISIBLE
from svd_core.data.toy_lvd.shots import (
    SIZE,
    SPEEDS,
    Film,
    Shot,
    Source,
    draw_shot,
    plan_corpus,
)
from svd_core.data.video import Video
from svd_core.settings import CorpusSettings, ReferenceSettings

SOURCES = 5


@pytest.fixture(scope="module")
def plan() -> list[Source]:
    return plan_corpus(300, seed=0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    render_corpus(CorpusSettings(sources=SOURCES), out)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def shots_of(sources: list[Source]) -> list[Shot]:
    return [shot for source in sources for shot in source.shots]


def film(defects: Defects, seed: int = 0, fps: int = 10) -> Film:
    return Film(draw_shot(np.random.default_rng(seed), fps, defects))


# The plan


@pytest.mark.parametrize("sources", [1, 7, 200])
def test_every_defect_has_exactly_its_share(sources: int) -> None:
    table = truth(plan_corpus(sources, seed=3))
    for kind in KINDS:
        assert table[kind].sum() == round(len(table) * SHARES[kind])


def test_defects_are_independent(plan: list[Source]) -> None:
    table = truth(plan)
    assert table["good"].mean() == pytest.approx(0.75**3 * 0.5, abs=0.03)
    flags = table.select(KINDS).to_numpy().astype(float)
    assert np.abs(np.corrcoef(flags.T) - np.eye(4)).max() < 0.08


def test_severity_is_graded_and_null_where_nothing_was_planted(plan: list[Source]) -> None:
    table = truth(plan)
    for kind in KINDS:
        severity = table[f"severity_{kind}"]
        assert (severity.is_null() == ~table[kind]).all()
        assert 0 < severity.min() <= 0.25 and 0.75 < severity.max() <= 1
    assert set(table["severity_wrong_caption"].drop_nulls()) == {0.25, 0.5, 0.75, 1.0}


def test_shots_are_long_and_joined_in_every_way(plan: list[Source]) -> None:
    assert {len(source.shots) for source in plan} == {2, 3, 4, 5}
    assert {source.fps for source in plan} == {7, 8, 9}
    assert min(shot.seconds for shot in shots_of(plan)) >= 2.0
    later = [shot for source in plan for shot in source.shots[1:]]
    kinds = [shot.begins for shot in later]
    assert {kind: round(kinds.count(kind) / len(kinds), 1) for kind in set(kinds)} == {
        "cut": 0.5,
        "fade": pytest.approx(0.25, abs=0.06),
        "dissolve": pytest.approx(0.25, abs=0.06),
    }
    assert all(source.shots[0].begins == "start" for source in plan)
    assert all((shot.begins in ("fade", "dissolve")) == (shot.transition_frames > 0) for shot in later)
    assert all(0.3 <= shot.transition_frames / shot.fps <= 1.0 for shot in later if shot.transition_frames)
    assert {shot.fade_level for shot in later} == {0, 255}


def test_neighbouring_shots_differ_in_background(plan: list[Source]) -> None:
    for source in plan:
        for before, after in zip(source.shots, source.shots[1:], strict=False):
            assert before.scene.background != after.scene.background


def test_wrong_captions_are_visibly_wrong_and_the_others_right(plan: list[Source]) -> None:
    for shot in shots_of(plan):
        if shot.defects.wrong_caption is None:
            assert shot.told == shot.scene
        else:
            wrong = [field for field in VISIBLE if getattr(shot.told, field) != getattr(shot.scene, field)]
            assert len(wrong) == shot.defects.wrong_caption * len(VISIBLE) >= 1


def test_static_shots_are_slower_than_any_other(plan: list[Source]) -> None:
    static = [shot.layout.speed for shot in shots_of(plan) if shot.defects.static is not None]
    moving = [shot.layout.speed for shot in shots_of(plan) if shot.defects.static is None]
    assert max(static) <= MAX_DRIFT < SPEEDS[0] / 5 and SPEEDS[0] <= min(moving) and max(moving) <= SPEEDS[1]


def test_the_plan_depends_on_the_seed_and_on_nothing_else(plan: list[Source]) -> None:
    assert plan_corpus(300, seed=0) == plan
    assert (
        truth(plan_corpus(50, seed=1))["true_caption"].to_list()
        != truth(plan_corpus(50, seed=0))["true_caption"].to_list()
    )


# The defects, as pixels


def test_frozen_means_frozen() -> None:
    frozen = film(Defects(static=1.0))
    assert (frozen.image(0) == frozen.image(frozen.shot.frames - 1)).all()


@pytest.mark.parametrize("seed", range(4))
def test_drifting_is_far_from_moving(seed: int) -> None:
    def change(defects: Defects) -> float:
        shown = film(defects, seed)
        return float(np.abs(shown.image(5).astype(float) - shown.image(15)).mean())

    assert 0 < change(Defects(static=0.01)) < 0.3 * change(Defects())


def test_more_severe_text_covers_more() -> None:
    shares = []
    for severity in (0.05, 0.5, 1.0):
        covered = []
        for seed in range(6):
            bare, lettered = film(Defects(), seed), film(Defects(text=severity), seed)
            middle = bare.shot.frames // 2
            covered.append((np.abs(bare.image(middle).astype(int) - lettered.image(middle)).max(axis=2) > 40).mean())
        shares.append(np.mean(covered))
    assert 0.01 < shares[0] < shares[1] < shares[2] < 0.4


def test_all_words_fit_into_the_frame() -> None:
    for seed in range(60):
        shown = film(Defects(text=1 - seed / 60), seed)
        assert shown.overlay is not None
        letters = shown.overlay.add
        assert letters.max() > 100
        assert max(edge.max() for edge in (letters[0], letters[-1], letters[:, 0], letters[:, -1])) == 0


@pytest.mark.parametrize("kind", LOOKS)
def test_poor_looks_spoil_what_they_should(kind: str) -> None:
    for seed in range(40):
        shown = film(Defects(poor_looks=0.01 + 0.02 * seed), seed)
        if shown.shot.looks is None or shown.shot.looks.kind != kind:
            continue
        spoilt = shown.image(10).astype(float)
        plain = shown.drawing.at((10 - (shown.shot.frames - 1) / 2) / 10).astype(float)
        assert _measure(kind, spoilt) > _measure(kind, plain) + _MARGINS[kind]
        return
    pytest.fail(f"no {kind} among forty shots")


_MARGINS = {"blur": 0.1, "grain": 2, "faded": 40, "overexposed": 50, "underexposed": 40}


def _measure(kind: str, image: np.ndarray) -> float:
    grey = image.mean(axis=2)
    slope = np.abs(np.diff(grey, axis=1))
    match kind:
        case "blur":
            return -slope.max() / np.ptp(grey)
        case "grain":
            return float(np.median(slope))
        case "faded":
            return -np.ptp(grey)
        case "overexposed":
            return float(np.percentile(grey, 10))
    return -float(np.percentile(grey, 97))


# The files


def test_bytes_do_not_depend_on_workers_or_on_the_time(corpus: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    render_corpus(
        CorpusSettings(sources=SOURCES),
        tmp_path,
        workers=2,
        progress=lambda done, total, **_: seen.append((done, total)),
    )
    assert contents(tmp_path) == contents(corpus)
    assert seen == [(done, SOURCES) for done in range(1, SOURCES + 1)]
    assert len(contents(corpus)) == 2 * SOURCES + 1


def test_an_interrupted_attempt_is_continued(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(corpus, tmp_path, dirs_exist_ok=True)
    (tmp_path / "truth.parquet").unlink()
    videos = tmp_path / "videos"
    (videos / "000002.mp4").unlink()
    (videos / "000002.json").unlink()
    (videos / "000002.mp4.half").write_bytes(b"half a video")
    (videos / "000004.json").unlink()  # what captions are not beside may be of any age
    (videos / "000004.mp4").write_bytes(b"older")
    rendered = []
    film_source = toy_lvd_files.film_source

    def counted(source: Source):
        rendered.append(source.name)
        return film_source(source)

    monkeypatch.setattr(toy_lvd_files, "film_source", counted)
    render_corpus(CorpusSettings(sources=SOURCES), tmp_path)
    assert rendered == ["000002.mp4", "000004.mp4"]
    assert contents(tmp_path) == contents(corpus)


def test_truth_agrees_with_the_decoded_frames(corpus: Path) -> None:
    """Static shots stand still, others move, every shot begins with a change, and no frame is unaccounted for."""
    table = pl.read_parquet(corpus / "truth.parquet")
    for (name,), rows in table.group_by("source", maintain_order=True):
        with Video(corpus / "videos" / str(name)) as video:
            assert video.fps == rows["fps"][0] and (video.width, video.height) == (SIZE, SIZE)
            frames = np.stack([frame.image for frame in video]).astype(np.float32)
        small = frames.reshape(len(frames), 24, 8, 24, 8, 3).mean(axis=(2, 4))  # what the encoder adds averages out
        change = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2, 3))
        assert rows["end_frame"].max() == len(frames)
        for row in rows.iter_rows(named=True):
            start, end = row["start_frame"], row["end_frame"]
            inside = np.median(change[start : end - 1])
            assert (inside < 0.8) == row["static"], row
            if row["transition"] == "cut":
                assert change[start - 1] > 3 * max(1.0, inside)
            if row["transition"] == "fade":
                gap = frames[row["start_frame"] - _gap(rows, row) : start]
                assert min(np.ptp(frame) for frame in gap) < 12, "a blank frame"


def _gap(rows: pl.DataFrame, row: dict[str, int]) -> int:
    return row["start_frame"] - rows.filter(pl.col("shot") == row["shot"] - 1)["end_frame"][0]


def test_sidecars_caption_every_shot_at_its_time(corpus: Path) -> None:
    table = pl.read_parquet(corpus / "truth.parquet")
    for (name,), rows in table.group_by("source", maintain_order=True):
        captions = json.loads((corpus / "videos" / str(name)).with_suffix(".json").read_text())["captions"]
        for caption, row in zip(captions, rows.iter_rows(named=True), strict=True):
            assert caption["start_s"] == pytest.approx(row["start_frame"] / row["fps"])
            assert caption["end_s"] == pytest.approx(row["end_frame"] / row["fps"])
            assert (caption["merged"] != row["true_caption"]) == row["wrong_caption"]


def test_the_reference_is_good_deterministic_and_its_own(tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("one", "again")]
    for workers, out in enumerate(outs, start=1):
        out.mkdir()
        render_reference(ReferenceSettings(clips=3, frames=10, resolution=32), out, workers=workers)
    assert contents(outs[0]) == contents(outs[1])
    videos = load_file(outs[0] / "clips.safetensors")["videos"]
    assert videos.shape == (3, 10, 3, 32, 32) and videos.dtype == np.uint8
    captions = json.loads((outs[0] / "clips.json").read_text())
    assert all(
        " moves " in clip["caption"] and clip["fps"] in (7, 8, 9) and clip["motion"] is None for clip in captions
    )
    steps = np.abs(np.diff(videos.astype(float), axis=1)).mean(axis=(1, 2, 3, 4))
    assert steps.min() > 0.5, "every clip moves"


def test_the_reference_shares_no_shot_with_the_corpus_even_for_one_seed(plan: list[Source]) -> None:
    layouts = {shot.layout for shot in shots_of(plan)}
    assert not any(
        toy_lvd_files._reference_shot(ReferenceSettings(seed=0), index).layout in layouts for index in range(300)
    )
    assert math.isclose(len(layouts), len(shots_of(plan)))


def test_sources_draw_from_the_frame_rates_that_are_set() -> None:
    rates = [source.fps for source in plan_corpus(300, 0, (6, 14))]
    assert min(rates.count(rate) for rate in (6, 14)) > 100 and set(rates) == {6, 14}
    assert "frame_rates" not in CorpusSettings().model_dump()
    assert CorpusSettings(frame_rates=(6, 14)).model_dump(mode="json")["frame_rates"] == [6, 14]
