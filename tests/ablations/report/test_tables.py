import csv
import io
from dataclasses import replace

import pytest
from synthetic import FVD, renamed, with_seeds, without

from ablations.report.findings import Findings
from ablations.report.markdown import to_markdown
from ablations.report.result import AblationResult
from ablations.report.spreadsheet import comparisons_csv, cost_csv, runs_csv
from ablations.report.tables import build_table


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_cells_are_means_differences_and_verdicts(ablation: AblationResult) -> None:
    scores, differences, by_clip = build_table(Findings(ablation)).panels
    assert scores.header == (
        "Arm", "Clips", "FVD[i3d-k400] ↓", "FD[vgg16] ↓", "CLIP score[toy-clip] ↑", "Dynamic degree ↑"
    )  # fmt: skip
    assert [cell.text for cell in scores.rows[1][:4]] == ["filtered", "686", "792 ± 13", "30.0 ± 1.7"]
    assert [cell.text for cell in differences.rows[0][:4]] == [
        "filtered", "−154* [−278, −30]", "better", "−15.0 [−17.5, −12.5]"
    ]  # fmt: skip
    assert [cell.text for cell in differences.rows[1][:3]] == ["same_size_random", "−2 [−106, +101]", "inconclusive"]
    assert by_clip.header == ("Arm", "CLIP score[toy-clip] ↑", "Clips", "Source videos")
    assert [cell.text for cell in by_clip.rows[0]][2:] == ["36", "12"]


def test_caption_says_what_was_measured_with_what(ablation: AblationResult) -> None:
    caption = build_table(Findings(ablation)).caption
    for fact in (
        "Seeds 0, 1, 2",
        "n = 64",
        "256 reference clips",
        "10 frames at 32 × 32 pixels",
        "i3d-k400 (SHA-256 0f",
    ):
        assert fact in caption


def test_the_note_on_clusters_is_true_of_every_task(ablation: AblationResult) -> None:
    (note,) = (note for note in build_table(Findings(ablation)).notes if note.startswith("Clip by clip"))
    assert "what one held-out video gives (its caption, frames or views)" in note


def test_bold_only_where_the_verdict_allows(ablation: AblationResult) -> None:
    def bold(result: AblationResult) -> list[tuple[str, int]]:
        panel = build_table(Findings(result)).panels[0]
        return [(row[0].text, column) for row in panel.rows for column, cell in enumerate(row) if cell.bold]

    assert bold(ablation) == [("filtered", 2)]
    assert bold(with_seeds(ablation, 0)) == []
    two = replace(
        ablation,
        arms=ablation.arms[:2],
        baseline="filtered",
        runs=tuple(run for run in ablation.runs if run.arm != "same_size_random"),
    )
    assert bold(two) == [("filtered", 2)]  # every other arm is worse than the baseline


def test_missing_runs_leave_gaps_that_say_why(ablation: AblationResult) -> None:
    table = build_table(Findings(without(without(ablation, "same_size_random"), "filtered", 1, reason="disk full")))
    assert [cell.text for cell in table.panels[0].rows[1][2:4]] == ["790 ± 18 (n = 2)", "29.4 ± 2.1 (n = 2)"]
    assert [cell.text for cell in table.panels[0].rows[2][2:]] == ["–"] * 4
    assert [cell.text for cell in table.panels[1].rows[1][1:]] == ["–", "inconclusive", "–", "–", "–"]
    assert "Missing: filtered, seed 1 (disk full)." in table.notes
    assert "Missing: same_size_random, seeds 0, 1, 2 (pretrain_videos failed: loss is nan)." in table.notes


def test_one_failed_metric_is_named(ablation: AblationResult) -> None:
    first = ablation.runs[0]
    score = replace(first.scores["fvd"], value=None, error="needs 9 frames")
    runs = (replace(first, scores={**first.scores, "fvd": score}), *ablation.runs[1:])
    notes = build_table(Findings(replace(ablation, runs=runs))).notes
    assert notes[-1] == "Missing: unfiltered, seed 0 fvd (needs 9 frames)."


def test_nothing_measured_is_still_a_table(ablation: AblationResult) -> None:
    result = ablation
    for arm in ablation.arms:
        result = without(result, arm.name)
    table = build_table(Findings(result))
    assert table.panels[0].header[2:] == ablation.metrics
    assert all("inconclusive" in sentence for sentence in table.verdicts)
    assert rows(runs_csv(Findings(result)))[0]["missing"] == "pretrain_videos failed: loss is nan"


def test_an_arm_with_the_baselines_scores_is_said_to_be_identical(ablation: AblationResult) -> None:
    def scored(metrics: tuple[str, ...]) -> Findings:
        runs = [
            replace(run, scores={**run.scores, **{m: ablation.run("unfiltered", run.seed).scores[m] for m in metrics}})
            if run.arm == "filtered"
            else run
            for run in ablation.runs
        ]
        return Findings(replace(ablation, runs=tuple(runs)))

    assert Findings(ablation).identical == set()
    assert "identical to the bit" in scored(ablation.metrics).verdicts[0]
    assert "nothing is known of its spread" in scored(("fvd",)).verdicts[0]  # another metric tells them apart
    lost = without(replace(ablation, metrics=("fvd",)), "filtered")
    assert Findings(lost).identical == set()


def test_markdown_shows_names_as_they_stand(ablation: AblationResult) -> None:
    text = to_markdown(build_table(Findings(renamed(ablation, {"filtered": "a|b*c_d<i>\n`e`"}))))
    assert r"| a\|b\*c\_d\<i\> \`e\` | 686 |" in text
    lengths = {line.count(" | ") for line in text.splitlines() if line.startswith("|") and "---" not in line}
    assert lengths == {3, 5}


def test_csv_has_every_digit_and_one_row_a_run(ablation: AblationResult) -> None:
    table = rows(runs_csv(Findings(ablation)))
    assert len(table) == 9
    values = [float(row["FVD[i3d-k400]"]) for row in table if row["arm"] == "filtered"]
    assert tuple(values) == FVD["filtered"]


def test_comparisons_tell_the_primary_from_the_descriptive(ablation: AblationResult) -> None:
    table = rows(comparisons_csv(Findings(ablation)))
    assert len(table) == 8
    assert {row["role"] for row in table if row["verdict"]} == {"primary"}
    first = table[0]
    assert float(first["holm_level"]) == 0.975
    assert float(first["holm_low"]) < float(first["low_95"]) < float(first["mean_difference"])
    assert float(first["p_holm"]) == pytest.approx(2 * float(first["p"]))


def test_only_the_cost_table_knows_of_time(ablation: AblationResult) -> None:
    slower = replace(ablation, costs=tuple(replace(cost, seconds=2 * cost.seconds) for cost in ablation.costs))
    assert cost_csv(slower) != cost_csv(ablation)
    for write in (runs_csv, comparisons_csv, lambda findings: to_markdown(build_table(findings))):
        assert write(Findings(slower)) == write(Findings(ablation))
