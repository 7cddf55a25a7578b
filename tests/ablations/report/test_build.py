import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic import renamed, with_seeds, without

from ablations.report.build import write_report
from ablations.report.findings import Findings
from ablations.report.gallery import Gallery, write_gallery
from ablations.report.html import duration, probability, render
from ablations.report.result import AblationResult
from ablations.report.tables import build_table

FILES = {
    "report.html",
    "table.md",
    "table.tex",
    "table_alone.tex",
    "table.csv",
    "comparisons.csv",
    "cost.csv",
    "summary.json",
}
FIGURES = {"effects", "scores", "strips", "funnel", "histograms", "kept", "loss", "noise"}


class Page(HTMLParser):
    """Addresses, scripts and shown text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = re.findall(r"url\(([^)]*)\)", text)
        self.tags: list[str] = []
        self.shown = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in {"src", "href", "action", "srcset"}]

    def handle_data(self, data: str) -> None:
        self.shown += data


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def page_of(result: AblationResult, gallery: Gallery | None = None) -> Page:
    findings = Findings(result)
    return Page(render(findings, build_table(findings), [], gallery))


def test_every_file_is_there_and_small_enough_to_commit(report: Path) -> None:
    files = contents(report)
    assert {name for name in files if "/" not in name} == FILES
    assert {Path(name).stem for name in files if name.startswith("figures/")} == FIGURES
    assert (
        len([name for name in files if name.startswith("gallery/")]) == 10 + 3
    )  # with the best and worst clips of one metric
    assert sum(map(len, files.values())) < 1_500_000
    assert [path.name for path in report.parent.iterdir()] == ["data_curation"]


def test_page_asks_for_nothing_from_outside(report: Path) -> None:
    text = (report / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.addresses) > 20
    for address in page.addresses:
        assert (report / address).is_file(), address
    assert not re.search(r"https?:|//[a-z]", text)
    assert "default-src 'none'" in text


def test_figures_fit_a_column(report: Path) -> None:
    for name in FIGURES:
        with Image.open(report / "figures" / f"{name}.png") as image:
            assert image.width == 660
            assert "Software" not in image.info
        assert b"CreationDate" not in (report / "figures" / f"{name}.pdf").read_bytes()


def test_verdict_stands_before_the_table(report: Path) -> None:
    shown = Page((report / "report.html").read_text(encoding="utf-8")).shown
    assert 0 < shown.index("filtered beats unfiltered") < shown.index("Mean ± standard deviation")


def test_sheets_hold_the_clips_as_they_are_but_for_what_no_eye_sees(ablation: AblationResult, tmp_path: Path) -> None:
    gallery = write_gallery(Findings(ablation), tmp_path, 4)
    assert gallery is not None
    assert list(gallery.seeds) == [0, 1, 2]
    labels = [sheet.label for sheet in gallery.seeds[1]]
    assert labels == ["real clip", "unfiltered", "filtered", "same_size_random"]
    sheet = gallery.seeds[1][2]
    assert (sheet.clips, sheet.frames, sheet.width, sheet.height) == (4, 10, 32, 32)
    from ablations.report.clips import sampled

    clips = sampled(ablation.run("filtered", 1), 4)
    assert clips is not None
    with Image.open(tmp_path / (sheet.file or "")) as image:
        frame = np.asarray(image.convert("RGB").crop((7 * 32, 2 * 32, 8 * 32, 3 * 32)), float)
    assert np.mean((frame - clips[2, 7].transpose(1, 2, 0)) ** 2) < 255**2 / 10 ** (36 / 10)  # 36 dB on pure noise


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "gallery").iterdir())


def test_seeds_beyond_the_budget_are_left_out_and_said_so(
    ablation: AblationResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = Findings(ablation)
    assert write_gallery(findings, tmp_path, 2) is not None
    whole = size(tmp_path)
    monkeypatch.setattr("ablations.report.gallery.BYTES", whole - 1)
    (tmp_path / "less").mkdir()
    gallery = write_gallery(findings, tmp_path / "less", 2)
    assert gallery is not None
    assert (list(gallery.seeds), len(gallery.prompts)) == ([0, 1], 2)
    assert size(tmp_path / "less") < whole
    assert len(list((tmp_path / "less" / "gallery").iterdir())) == 7
    assert "the other seeds' samples are in the store" in page_of(ablation, gallery).shown


@pytest.mark.parametrize(("budget", "prompts", "width"), [(30_000, 2, 32), (6_000, 1, 16), (100, None, None)])
def test_first_seed_keeps_to_the_budget_too(
    ablation: AblationResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    budget: int,
    prompts: int | None,
    width: int | None,
) -> None:
    monkeypatch.setattr("ablations.report.gallery.BYTES", budget)
    gallery = write_gallery(Findings(ablation), tmp_path, 8)
    if gallery is None:
        assert prompts is None
        return
    assert (len(gallery.prompts), gallery.seeds[0][1].width) == (prompts, width)
    assert size(tmp_path) <= budget


def test_lost_runs_are_shown_with_their_reason(ablation: AblationResult, tmp_path: Path) -> None:
    lost = without(ablation, "filtered", 0, reason="out of <memory>")
    gallery = write_gallery(Findings(lost), tmp_path, 2)
    page = page_of(lost, gallery)
    assert "1 of 9 runs are missing" in page.shown
    assert "filtered, seed 0: out of <memory>" in page.shown
    assert page.shown.count("out of <memory>") == 1 + 1 + 2  # the list, the table's note, two prompts of the gallery


def test_hostile_names_stay_text(ablation: AblationResult) -> None:
    attack = "</style><script>alert('x')</script><img src=x onerror=alert(1)>\" onload=\""
    page = page_of(renamed(ablation, {"filtered": attack}))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert attack in page.shown


def test_what_is_told_of_an_arms_clips_and_why_not(ablation: AblationResult) -> None:
    unfiltered, filtered, drawn = ablation.arms
    arms = (
        unfiltered,
        replace(filtered, kept=None, idle="video pretraining sees one batch"),
        replace(drawn, drawn=True),
    )
    result = replace(ablation, arms=arms)
    text = render(Findings(result), build_table(Findings(result)), [], None)
    assert '<td title="video pretraining sees one batch">–</td><td>–</td>' in text
    assert "against the planted truth, the mean over seeds where each draws its own." in text
    assert "No clips are given for filtered: video pretraining sees one batch." in text
    assert "the mean over seeds where" not in page_of(ablation).shown


def test_one_seed_says_what_is_lacking(ablation: AblationResult) -> None:
    page = page_of(with_seeds(ablation, 0))
    assert "only one seed has both arms; a verdict needs two" in page.shown
    assert "beats" not in page.shown


@pytest.mark.parametrize(("seconds", "text"), [(None, "–"), (12.4, "12 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")])
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_probability_is_never_zero() -> None:
    assert [probability(p) for p in (None, 0.0329, 1e-9, 1.0)] == ["–", "0.033", "< 0.0001", "1"]


@pytest.mark.slow
def test_same_result_gives_the_same_bytes(ablation: AblationResult, report: Path, tmp_path: Path) -> None:
    write_report(Findings(ablation), tmp_path / "again")
    assert contents(tmp_path / "again") == contents(report)


@pytest.mark.slow
def test_rewriting_replaces_what_is_ours_and_nothing_else(ablation: AblationResult, tmp_path: Path) -> None:
    out = tmp_path / "results"
    (out / "figures").mkdir(parents=True)
    (out / "gallery").mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "figures" / "mine.svg").write_text("mine")
    (out / "gallery" / "07-gone-seed3.webp").write_bytes(b"an arm that is no more")
    (out / "figures" / "strips.png").write_bytes(b"from when there were samples")
    result = ablation
    for arm in ablation.arms:
        result = without(result, arm.name)
    write_report(Findings(result), out)
    files = contents(out)
    assert files["notes.txt"] == files["figures/mine.svg"] == b"mine"
    assert "gallery/07-gone-seed3.webp" not in files
    assert "figures/strips.png" not in files
    assert set(files) > FILES


def test_a_failure_leaves_the_earlier_report_whole(
    ablation: AblationResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("earlier")

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("ablations.report.figures.draw_figures", fail)
    with pytest.raises(OSError, match="no space left"):
        write_report(Findings(ablation), tmp_path / "out")
    assert contents(tmp_path) == {"out/report.html": b"earlier"}
