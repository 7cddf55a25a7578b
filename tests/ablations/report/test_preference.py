from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from synthetic import ballots

from ablations.report.build import write_report
from ablations.report.findings import Findings
from ablations.report.formats import FORMATS
from ablations.report.result import AblationResult
from ablations.report.tables import build_table


@pytest.fixture(scope="module")
def voted(ablation: AblationResult) -> AblationResult:
    return replace(ablation, ballots=ballots(stale=3))


def test_ratings_stand_in_the_table_with_what_they_rest_on(voted: AblationResult) -> None:
    table = build_table(Findings(voted))
    panel = table.panels[-1]
    assert panel.header == (
        "Arm", "Elo, aggregated", "Elo, prompt following", "Elo, visual quality",
        "Bradley–Terry, aggregated", "Votes won",
    )  # fmt: skip
    ratings = {row[0].text: row[1].value for row in panel.rows}
    assert list(ratings) == ["unfiltered", "filtered", "same_size_random"]
    assert max(ratings, key=lambda arm: ratings[arm] or 0) == "filtered"
    for row in panel.rows:
        assert " [" in row[1].text
    notes = " ".join(table.notes)
    assert "288 by 4 raters on 12 prompts" in notes
    assert "Agreement of raters on visual quality: Krippendorff's α = " in notes
    assert "Left out: 1 rater who passed only 0 of 1 attention checks." in notes
    assert "Left out: 3 votes on samples that have been replaced since." in notes


def test_every_format_has_the_ratings(voted: AblationResult) -> None:
    table = build_table(Findings(voted))
    for write in FORMATS.values():
        assert "Votes won" in write(table)


def test_one_question_needs_no_aggregate(ablation: AblationResult) -> None:
    one = replace(ablation, ballots=ballots(questions=("visual quality",)))
    assert build_table(Findings(one)).panels[-1].header[1:3] == ("Elo, visual quality", "Bradley–Terry, visual quality")


def test_an_arm_of_ties_alone_has_no_interval_and_the_reason(ablation: AblationResult) -> None:
    whole = ballots(questions=("visual quality",))
    third = pl.col("left").eq("same_size_random") | pl.col("right").eq("same_size_random")
    even = whole.votes.with_columns(score=pl.when(third).then(0.5).otherwise("score"))
    table = build_table(Findings(replace(ablation, ballots=replace(whole, votes=even))))
    assert [" [" in row[1].text for row in table.panels[-1].rows] == [True, True, False]
    assert (
        "No interval of Elo, visual quality, of same_size_random: all votes are ties, which move no rating."
        in table.notes
    )


def test_votes_of_inattentive_raters_alone_are_none(ablation: AblationResult) -> None:
    assert len(build_table(Findings(replace(ablation, ballots=ballots(raters=0)))).panels) == 3


@pytest.mark.slow
def test_page_and_figures_show_the_votes(voted: AblationResult, tmp_path: Path) -> None:
    page = write_report(Findings(voted), tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert "People's preference" in text.replace("&#39;", "'")
    assert (page.parent / "figures" / "elo.png").exists()
    assert "rater 0" not in text  # nobody's name is published
