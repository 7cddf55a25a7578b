import json
from pathlib import Path

import polars as pl
import pytest

from ablations.clips import filter_table, write_page
from ablations.errors import AblateError, DocumentError
from svd_core.curation.table import SCHEMA, write_table


@pytest.fixture
def curated(tmp_path: Path) -> Path:
    rows = [{"clip_id": f"{row:03d}", "source": "a.mp4", "motion": row / 10} for row in range(100)]
    write_table(pl.DataFrame(rows, schema=SCHEMA), tmp_path / "clips.parquet", scratch=tmp_path)
    return tmp_path


def keep(folder: Path, text: str) -> Path:
    (folder / "keep.yaml").write_text(text)
    return folder / "keep.yaml"


def test_filter_writes_a_subset_and_shows_its_funnel(curated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filter_table(curated, keep(curated, "motion: {drop_lowest: 0.25, max: 9}\n"), curated / "subset")
    assert pl.read_parquet(curated / "subset" / "subset.parquet")["clip_id"].to_list() == [
        f"{row:03d}" for row in range(25, 91)
    ]
    shown = " ".join(capsys.readouterr().out.split())
    assert "motion max 9 9 9 9 91" in shown
    assert "motion drop_lowest 0.25 2.5 25 25 66" in shown
    assert json.loads((curated / "subset" / "funnel.json").read_text())["kept"] == 66


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("motoin: {min: 1}\n", r"keep\.yaml:1:1: unknown key 'motoin'; did you mean 'motion'"),
        ("motion: {drop_lowest: 1.5}\n", r"keep\.yaml:1:10: motion\.drop_lowest: should be less than 1"),
        ("camera_motion: left\n", r"keep\.yaml:1:1: camera_motion: should be 'horizontal', 'zoom' or 'static'"),
    ],
)
def test_wrong_predicates_are_refused_where_they_stand(curated: Path, text: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        filter_table(curated, keep(curated, text), curated / "subset")
    assert not (curated / "subset").exists()


def test_keeping_nothing_is_an_error(curated: Path) -> None:
    with pytest.raises(AblateError, match="keep: none of 100 clips has a score of alignment"):
        filter_table(curated, keep(curated, "alignment: {min: 0}\n"), curated / "subset")


def test_folders_without_a_table_or_a_subset_are_refused(curated: Path, tmp_path: Path) -> None:
    with pytest.raises(AblateError, match=r"holds no clips\.parquet"):
        write_page(tmp_path / "nothing", None, tmp_path / "page.html")
    with pytest.raises(AblateError, match=r"holds no funnel\.json"):
        write_page(curated, tmp_path / "nothing", tmp_path / "page.html")
    table = curated / "clips.parquet"
    table.write_bytes(table.read_bytes()[:-50])
    with pytest.raises(AblateError, match=r"clips\.parquet: no clip table that can be read"):
        write_page(curated, None, tmp_path / "page.html")
