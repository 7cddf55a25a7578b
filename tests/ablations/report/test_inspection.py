import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ablations.report.histogram import BINS, HEIGHT, WIDTH, Cut, histogram
from ablations.report.inspection import SHOWN, choose, inspect
from ablations.report.previews import sheets
from svd_core.curation.settings import Keep, Percentile
from svd_core.curation.table import SCHEMA, write_table
from svd_core.curation.views import View
from svd_core.data.shards import Sample, write_shard
from svd_core.data.subset import write_subset

EVIL = "<script>alert('1')</script>\n\"é'&.mp4"
CLIPS = 60


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty clips in two shards, one kept as training windows and one with frames; names that HTML minds."""
    folder = tmp_path_factory.mktemp("clips of <mine>")
    (folder / "shards").mkdir()
    rng = np.random.default_rng(0)
    windows = rng.integers(0, 256, (CLIPS, 4, 16, 24, 3), dtype=np.uint8)
    half = CLIPS // 2
    samples = [Sample(f"{row:03d}", windows[row], {}) for row in range(half)]
    places = write_shard(folder / "shards" / "0.tar", samples, scratch=folder)
    views = {f"{row:03d}": View.of(list(windows[row])).to_bytes() for row in range(half, CLIPS)}
    frames = {"clip_id": list(views), "frames": list(views.values())}
    pq.write_table(pa.table(frames), folder / "shards" / "1.frames.parquet")
    rows = [
        {"clip_id": f"{row:03d}", "source": EVIL, "start_s": row * 2.0, "end_s": row * 2.0 + 2, "caption": EVIL,
         "motion": None if row == 7 else row / 10, "text_area": 0.0, "aesthetics": -float(row % 9),
         "camera_motion": "zoom" if row % 3 else None, "shard": f"shards/{row // half}.tar",
         "offset": places[row][0] if row < half else None, "size": places[row][1] if row < half else None}
        for row in range(CLIPS)
    ]  # fmt: skip
    rows.append({"clip_id": "bad", "source": EVIL, "error": "<b>broken</b>"})
    methods = {"motion": "farneback & more"}
    write_table(pl.DataFrame(rows, schema=SCHEMA), folder / "clips.parquet", scratch=folder, methods=methods)
    return folder


@pytest.fixture(scope="module")
def page(curated: Path) -> str:
    (curated / "subset").mkdir()
    keep = Keep(motion=Percentile(drop_lowest=0.25), aesthetics=Percentile(min=-7.5))
    write_subset(keep, curated / "clips.parquet", curated / "subset")
    inspect(curated, curated / "subset", curated / "inspect.html")
    return (curated / "inspect.html").read_text()


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_nothing_is_asked_for_from_outside_and_nothing_of_the_table_is_markup(page: str) -> None:
    tags = Elements(page).tags
    assert not [tag for tag, _ in tags if tag in ("script", "link", "iframe", "img", "object", "b")]
    assert all(str(given.get("href", "#")).startswith("#") for _, given in tags)
    assert all(url.startswith("data:image/webp;base64,") for url in re.findall(r"url\(([^)#]*)", page) if url)
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page


def test_every_score_is_shown_from_lowest_to_highest_with_its_thresholds(page: str) -> None:
    assert re.findall(r"<h3>(.*)</h3>", page)[:4] == [
        "Lowest",
        "Middle",
        "Highest",
        "On both sides of drop lowest 0.25",
    ]
    assert "farneback &amp; more" in page
    assert "59 clips; 1 have no score." in page
    assert page.count("<svg") == 3  # alignment was never measured
    assert page.count("No clip has this score.") == 1
    assert "drop lowest 0.25: 1.6" in page
    assert "dropped by motion" in page
    assert "dropped by aesthetics" in page
    assert "Logarithmic" in page  # of text_area, all in one bar


def test_the_funnel_and_what_was_rejected_are_told(page: str) -> None:
    assert "60 clips of 1 videos" in page
    assert "1 rejected" in page
    assert "&lt;b&gt;broken&lt;/b&gt;" in page
    assert "Camera: zoom 40, unknown 20." in page
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>.*?(\d+)</td>\s*<td><span class="left"', page, re.DOTALL)
    assert rows == [
        ("all clips", "60"),
        ("motion: has no score", "59"),
        ("motion: drop lowest 0.25", "44"),
        ("aesthetics: min -7.5", "39"),
    ]


def test_previews_come_from_kept_frames_and_from_windows(page: str, curated: Path) -> None:
    assert "no frames kept" not in page
    found = sheets(curated, [{"clip_id": "040", "shard": "shards/1.tar", "offset": None, "size": None}])
    assert (found["040"].frames, found["040"].width, found["040"].height) == (9, 24, 16)


def test_the_same_table_gives_the_same_bytes(page: str, curated: Path) -> None:
    inspect(curated, curated / "subset", curated / "again.html")
    assert (curated / "again.html").read_text() == page


def test_a_page_without_a_subset_has_no_thresholds(page: str, curated: Path, tmp_path: Path) -> None:
    inspect(curated, tmp_path, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "No thresholds yet" in text
    assert "On both sides" not in text


@pytest.mark.parametrize("shard", ["../outside.tar", "/etc/passwd", "shards/../../x.tar"])
def test_shards_outside_of_the_folder_are_not_read(curated: Path, shard: str) -> None:
    with pytest.raises(ValueError, match="lies outside of"):
        sheets(curated, [{"clip_id": "x", "shard": shard, "offset": 0, "size": 1}])


def test_clips_are_chosen_at_both_ends_in_the_middle_and_around_a_threshold() -> None:
    values = np.random.default_rng(0).permutation(np.arange(101.0))
    rows = {title: [value for _, value, _ in row] for title, row in choose(values, [Cut(25.0, True, "min")]).items()}
    assert rows == {
        "Lowest": [0, 1, 2, 3, 4, 5],
        "Middle": [47, 48, 49, 50, 51, 52],
        "Highest": [95, 96, 97, 98, 99, 100],
        "On both sides of min": [22, 23, 24, 25, 26, 27],
    }


def test_equal_values_are_not_chosen_by_their_place() -> None:
    places = [place for place, _, _ in choose(np.zeros(1000), [])["Lowest"]]
    assert len(places) == SHOWN
    assert max(places) > 100


def test_a_dropped_clip_is_shown_with_its_reason(tmp_path: Path) -> None:
    """Also where its scores are those of clips that stay: ties, near-duplicates, other camera motions."""
    rows = [
        {"clip_id": f"{row:02d}", "source": "a.mp4", "start_s": 0.0, "end_s": 2.0, "motion": 1.0, "width": 640,
         "camera_motion": "zoom" if row else "static", "duplicate_of": "02" if row == 1 else None}
        for row in range(6)
    ]  # fmt: skip
    rows[5]["width"] = 320
    write_table(pl.DataFrame(rows, schema=SCHEMA), tmp_path / "clips.parquet", scratch=tmp_path)
    keep = Keep(
        motion=Percentile(drop_lowest=0.5), width=Percentile(min=640), camera_motion="zoom", duplicate_of="drop"
    )
    write_subset(keep, tmp_path / "clips.parquet", tmp_path)
    inspect(tmp_path, tmp_path, tmp_path / "page.html")
    verdicts = set(re.findall(r'class="mark">(.*?)</span>', (tmp_path / "page.html").read_text()))
    assert verdicts == {
        "kept",
        "dropped by width",
        "dropped by motion (a tie at its threshold)",
        "dropped by camera motion (static)",
        "dropped by being a near-duplicate",
    }


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0], [0.0] * 50 + [1.0]])
def test_histograms_of_next_to_nothing(values: list[float]) -> None:
    drawn = histogram(np.array(values), [Cut(1.5, False, "max")])
    assert len(drawn.bars) == (BINS if values else 0)
    assert sum(bar.count for bar in drawn.bars) == len(values)
    assert all(0 <= bar.x <= WIDTH and 0 <= bar.height <= HEIGHT for bar in drawn.bars)
