import csv

import pytest

from ablations import overview
from ablations.errors import AblateError
from ablations.new import TEMPLATE, write_new
from ablations.overview import found, write_overview
from ablations.report.spreadsheet import DIFFERENCE_COLUMNS, VERDICT_COLUMNS
from ablations.run import console
from ablations.spec import available, load


@pytest.fixture
def results(tmp_path):
    """Results of two ablations: a packaged one with a verdict, and a user's own that could not be tested."""

    def write(name, **values):
        (tmp_path / "results" / name).mkdir(parents=True)
        columns = (*DIFFERENCE_COLUMNS, *VERDICT_COLUMNS, "reason")
        rows = [
            dict.fromkeys(columns, "") | values,
            dict.fromkeys(columns, "") | {"role": "descriptive", "arm": "none"},
        ]
        with (tmp_path / "results" / name / "comparisons.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)

    base = {"metric": "FVD[i3d-k400]", "role": "primary", "arm": "filtered", "baseline": "unfiltered", "pairs": 3}
    interval = {"holm_level": 0.975, "holm_low": -233.25, "holm_high": -91.5}
    write("data_curation", **base, **interval, mean_difference=-162.12345, verdict="better")
    write("node/data_curation", **base, **interval, mean_difference=-459.0, verdict="better")
    write("mine", **base, verdict="inconclusive", reason="no seed has both arms; a verdict needs two")
    return tmp_path / "results"


def test_the_overview_sets_claims_beside_what_was_measured(results):
    lines = write_overview(results).read_text().splitlines()
    row = next(line for line in lines if line.startswith("| [data_curation](data_curation/)"))
    assert load("data_curation").paper in row
    assert "**better**: filtered against unfiltered, FVD[i3d-k400] −162.1 [−233.2, −91.5] at 97.5 %, 3 seeds" in row
    assert (
        "<br>[at scale node](node/data_curation/): **better**: filtered against unfiltered, FVD[i3d-k400] −459" in row
    )
    assert any(line.startswith("| filter_motion: ") and line.endswith("| no committed results |") for line in lines)
    searches = lines.index("## Searches")
    assert "inconclusive**: filtered against unfiltered, no seed has both arms" in lines[searches - 2]
    assert sum(line.startswith("| ") for line in lines[:searches]) == len(available("specs")) + 3
    assert found(results / "nothing") == ""


def test_searches_show_what_their_winners_came_to(results):
    rows = write_overview(results).read_text().partition("## Searches")[2].splitlines()
    assert sum(row.startswith("| ") for row in rows) == len(available("studies")) + 2
    assert any(row.startswith("| kept_clips: ") and row.endswith("| no committed results |") for row in rows)
    (results / "kept_clips").mkdir()
    (results / "filter_thresholds").mkdir()
    (results / "data_curation").rename(results / "filter_thresholds" / "winner")
    rows = write_overview(results).read_text().partition("## Searches")[2].splitlines()
    assert any(row.startswith("| [kept_clips](kept_clips/): ") and "nothing was retrained" in row for row in rows)
    assert any("filter_thresholds/): " in row and "**better**: filtered against" in row for row in rows)


def test_the_list_shows_packaged_and_own_specs_with_cost_and_verdict(results, monkeypatch, tmp_path):
    monkeypatch.setattr(overview, "RESULTS", results)
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    own = tmp_path / "mine.yaml"
    own.write_text(TEMPLATE.format(file=own))
    monkeypatch.setattr(console, "_width", 300)
    with console.capture() as capture:
        overview.show_list([str(own)])
    lines = capture.get().splitlines()
    for name in available("specs"):
        row = next(line for line in lines if line.split() and line.split()[0] == name)
        assert load(name).question[:30] in row
        assert "min" in row
        assert ("filtered better" if name == "data_curation" else "none yet") in row
    assert any(str(own) in line and "filtered inconclusive" in line for line in lines)
    assert any(line.startswith("study kept_clips: ") for line in lines)


def test_a_new_spec_loads_and_is_never_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = load(str(write_new("mine")))
    assert list(spec.arms) == ["unfiltered", "moving"]
    with pytest.raises(AblateError, match=r"mine.yaml exists already"):
        write_new("mine")
    for name in ("../mine", "", "a.b", "data_curation"):
        with pytest.raises(AblateError):
            write_new(name)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_what_the_template_has_commented_out_holds_too(tmp_path):
    text = TEMPLATE.format(file="x").replace("  # fewer", "  fewer").replace("  #   subset", "    subset")
    text = text.replace("  # less", "  less").replace("  #   pretrain", "    pretrain")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    spec = load(str(path))
    assert list(spec.arms) == ["unfiltered", "moving", "fewer_clips", "less_training"]
    assert spec.arms["less_training"].pretrain_videos.samples == spec.arms["moving"].pretrain_videos.samples / 2
