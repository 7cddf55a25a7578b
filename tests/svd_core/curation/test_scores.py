import hashlib
import json
import shutil
from pathlib import Path

import cv2
import drawn
import numpy as np
import odd_files
import polars as pl
import pytest

from svd_core.curation.listing import SourceError
from svd_core.curation.scores import ANNOTATED
from svd_core.curation.settings import AnnotationSettings, VideoCurationSettings
from svd_core.curation.table import CAPTIONS
from svd_core.curation.videos import curate_videos, score_again

SCORED = [name for name in ANNOTATED if name not in CAPTIONS]


def lettered(shot: drawn.Frames) -> drawn.Frames:
    """With text on the first half of its frames, so that the three looked at differ."""
    for frame in shot[: len(shot) // 2]:
        cv2.putText(frame, "SAMPLE", (8, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 2, cv2.LINE_AA)
    return shot


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of three videos that are gone since, the third a smaller copy of the first."""
    folder, out = tmp_path_factory.mktemp("videos"), tmp_path_factory.mktemp("curated")
    first = drawn.cut(lettered(drawn.shot(0, height=192, width=288)), drawn.shot(1, height=192, width=288))
    odd_files.write(folder / "a.mp4", first, 10)
    odd_files.write(folder / "b.mp4", drawn.cut(drawn.shot(2), drawn.shot(3)), 10)
    odd_files.write(folder / "c.mp4", np.stack([cv2.resize(frame, (144, 96)) for frame in first]), 10)
    (folder / "a.txt").write_text("two discs")
    curate_videos(VideoCurationSettings(), str(folder), out)
    shutil.rmtree(folder)
    return out


def table(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "clips.parquet")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_score_is_there_and_says_how_it_was_measured(curated: Path) -> None:
    clips = table(curated)
    assert clips.height == 6
    assert clips.select("motion", "text_area", "aesthetics").null_count().row(0) == (0, 0, 0)
    assert clips["alignment"].null_count() == 6
    assert clips["caption"].to_list()[:2] == ["two discs"] * 2
    methods = json.loads(pl.read_parquet_metadata(curated / "clips.parquet")["methods"])
    assert {"motion", "text_area", "aesthetics", "alignment", "camera_motion", "duplicate_of"} <= set(methods)
    assert methods["motion"].startswith("farneback@2fps,16px")


def test_copies_of_another_size_are_duplicates(curated: Path) -> None:
    repeats = dict(table(curated).select("clip_id", "duplicate_of").iter_rows())
    assert {clip: original for clip, original in repeats.items() if original} == {
        "c-0000000": "a-0000000",
        "c-0002400": "a-0002400",
    }


@pytest.mark.slow
def test_other_settings_score_the_kept_frames_again_without_the_videos(curated: Path, tmp_path: Path) -> None:
    shutil.copytree(curated, tmp_path / "again")
    before = digests(tmp_path / "again")
    most = AnnotationSettings(text_over_frames="max", aesthetics_over_frames="worst")
    changed = score_again(most, tmp_path / "again")
    assert changed.drop(SCORED).equals(table(curated).drop(SCORED))
    assert (changed["text_area"] >= table(curated)["text_area"]).all()
    assert changed["text_area"][0] > 1.5 * table(curated)["text_area"][0] > 0
    assert (changed["aesthetics"] <= table(curated)["aesthetics"]).all()
    assert (changed["aesthetics"] < table(curated)["aesthetics"]).any()
    score_again(AnnotationSettings(), tmp_path / "again")
    assert digests(tmp_path / "again") == before


def test_scores_that_fit_are_not_made_again(curated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(curated, tmp_path / "again")

    def no_call(*_: object) -> None:
        raise AssertionError("the process was asked for something")

    monkeypatch.setattr("svd_core.data.processes.Isolated.call", no_call)
    score_again(AnnotationSettings(), tmp_path / "again")
    (scores,) = (tmp_path / "again" / "shards").glob("*.scores.parquet")
    scores.write_bytes(scores.read_bytes()[:100])
    with pytest.raises(AssertionError, match="was asked for something"):
        score_again(AnnotationSettings(), tmp_path / "again")


def test_a_folder_without_kept_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds nothing that `ablate curate` made"):
        score_again(AnnotationSettings(), tmp_path)
