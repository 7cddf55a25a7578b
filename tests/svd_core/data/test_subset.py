import json
from pathlib import Path

import polars as pl
import pytest

from svd_core.curation.settings import Keep, Percentile, SubsetSample, SubsetSettings
from svd_core.curation.table import SCHEMA, write_table
from svd_core.data.subset import make_subset, read_subset, write_subset

HALF = Keep(motion=Percentile(drop_lowest=0.5))


@pytest.fixture
def curated(tmp_path: Path) -> Path:
    """200 clips whose motion is their number, and one rejected source."""
    folder = tmp_path / "curated"
    folder.mkdir()
    rows = [{"clip_id": f"{row:04d}", "source": "a.mp4", "motion": float(row)} for row in range(200)]
    rows.append({"clip_id": "broken", "source": "broken.mp4", "error": "VideoError: ends early"})
    write_table(pl.DataFrame(rows, schema=SCHEMA), folder / "clips.parquet", scratch=folder)
    return folder


def subset(settings: SubsetSettings, curated: Path, out: Path) -> list[str]:
    out.mkdir()
    make_subset(settings, curated, out)
    return read_subset(out)


def test_a_subset_is_the_clips_that_pass_in_the_tables_order(curated: Path, tmp_path: Path) -> None:
    assert subset(SubsetSettings(keep=HALF), curated, tmp_path / "s") == [f"{row:04d}" for row in range(100, 200)]
    report = json.loads((tmp_path / "s" / "funnel.json").read_text())
    assert (report["clips"], report["kept"]) == (200, 100)
    assert report["steps"][0]["threshold"] == 100.0


def test_no_predicate_keeps_every_clip_but_no_rejected_source(curated: Path, tmp_path: Path) -> None:
    assert len(subset(SubsetSettings(), curated, tmp_path / "s")) == 200


def test_a_matched_sample_has_the_size_but_not_the_members(curated: Path, tmp_path: Path) -> None:
    settings = SubsetSettings(sample=SubsetSample(match=HALF))
    sample = subset(settings, curated, tmp_path / "a")
    assert len(sample) == 100
    low = sum(clip_id < "0100" for clip_id in sample)
    assert 35 <= low <= 65  # hypergeometric: 50 +- 3 standard deviations and some
    assert sample == subset(settings, curated, tmp_path / "b")
    assert sample != subset(settings.model_copy(update={"seed": 1}), curated, tmp_path / "c")


def test_a_sample_larger_than_what_is_kept_is_refused(curated: Path, tmp_path: Path) -> None:
    keep = Keep(motion=Percentile(drop_lowest=0.9))
    with pytest.raises(ValueError, match="keeps 100 clips, but only 20"):
        subset(SubsetSettings(keep=keep, sample=SubsetSample(match=HALF)), curated, tmp_path / "s")


def test_an_empty_subset_is_refused(curated: Path, tmp_path: Path) -> None:
    unscored, much = Keep(alignment=Percentile(min=0.0)), Keep(motion=Percentile(min=1e9))
    for settings, said in (
        (SubsetSettings(keep=unscored), "keep: none of 200 clips has a score of alignment"),
        (SubsetSettings(keep=much), r"keep: none of 200 clips is left by motion \(min 1e\+09\)"),
        (SubsetSettings(sample=SubsetSample(match=much)), "sample.match: none of 200 clips is left by motion"),
    ):
        with pytest.raises(ValueError, match=said):
            make_subset(settings, curated, tmp_path)


def test_a_subset_written_in_batches_is_the_same(curated: Path, tmp_path: Path) -> None:
    expected = subset(SubsetSettings(keep=HALF), curated, tmp_path / "whole")
    (tmp_path / "batches").mkdir()
    report = write_subset(HALF, curated / "clips.parquet", tmp_path / "batches")
    assert read_subset(tmp_path / "batches") == expected
    assert (tmp_path / "batches" / "funnel.json").read_text() == (tmp_path / "whole" / "funnel.json").read_text()
    assert json.loads((tmp_path / "batches" / "funnel.json").read_text()) == report


def test_an_empty_subset_written_in_batches_is_refused_and_leaves_nothing(curated: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"keep: none of 200 clips is left by motion \(min 1e\+09\)"):
        write_subset(Keep(motion=Percentile(min=1e9)), curated / "clips.parquet", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["curated"]
