"""Studies by preference: levels as arms, votes by people or by a named metric, and what they come to."""

import json

import polars as pl
import pytest

from ablations.artifacts import Store, write_json
from ablations.errors import DocumentError
from ablations.plan import plan
from ablations.search.preference import Rated, automatic_votes, preferred, rate, write_axis
from ablations.search.preference_report import conclusion, level_rows, rater, sentence, write_preference_report
from ablations.search.study import load
from ablations.search.winner import write_final_spec
from ablations.spec import load as load_spec
from ablations.vote_files import import_votes

TEXT = """
question: Which thresholds?
recipe: text_to_video
parameters:
  subset.keep.motion.drop_lowest: {choices: [0.0, 0.25, 0.5]}
  subset.keep.aesthetics.drop_lowest: {low: 0.0, high: 0.5, step: 0.5}
objectives: [preference]
rater: votes
incumbent: {subset.keep.motion.drop_lowest: 0.0, subset.keep.aesthetics.drop_lowest: 0.0}
seeds: [0, 1]
final: {seeds: [5, 6], reference_seed: 9, primary: fvd}
"""


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    return Store()


@pytest.fixture
def axes(tmp_path, store):
    """Gives a study and its axes, their clips there: dropping more makes the clips' values higher."""

    def make(text=TEXT):
        (tmp_path / "taste.yaml").write_text(text)
        study = load(str(tmp_path / "taste.yaml"), "smoke")
        made = [write_axis(study, parameter, tmp_path / "out") for parameter in study.file.parameters]
        for axis in made:
            graph = plan(load_spec(str(axis.spec), "smoke"))
            for (arm, _), roles in graph.runs.items():
                folders = [store.artifact(roles[role]) for role in ("sample", "score")]
                for folder in folders:
                    folder.mkdir(parents=True, exist_ok=True)
                    write_json(folder / "manifest.json", {})
                (folders[0] / "prompts.json").write_text(json.dumps([{"prompt": "a square", "fps": 8}]))
                values = {"clip": [0, 1, 2], "metric": ["toy_clip_score"] * 3, "value": [axis.arms[arm]] * 3}
                pl.DataFrame(values).write_parquet(folders[1] / "per_clip.parquet")
        return study, made

    return make


def voted(path, arms, winner):
    rows = [
        f"{winner},{arm},1,{prompt},r{rater}" for arm in arms if arm != winner for prompt in "abc" for rater in "xy"
    ]
    path.write_text("\n".join(["left,right,score,prompt,rater", *rows]) + "\n")
    return path


def test_every_level_is_an_arm_and_all_else_the_incumbent(axes):
    _, (motion, looks) = axes()
    assert motion.spec.name == "taste_motion.yaml"
    spec = load_spec(str(motion.spec), "smoke")
    assert list(spec.arms) == ["drop_lowest_0.0", "drop_lowest_0.25", "drop_lowest_0.5"]
    assert spec.baseline == "drop_lowest_0.0"
    assert looks.arms == {"drop_lowest_0.0": 0.0, "drop_lowest_0.5": 0.5}
    keep = spec.arms["drop_lowest_0.5"].subset.keep
    assert (keep.motion.drop_lowest, keep.aesthetics.drop_lowest) == (0.5, 0.0)


def test_peoples_votes_choose_each_threshold_and_nothing_is_concluded_before(axes, store, tmp_path):
    study, (motion, looks) = axes()
    assert [rate(study, axis, store).lacking for axis in (motion, looks)] == ["no votes yet"] * 2
    import_votes(str(motion.spec), "smoke", voted(tmp_path / "m.csv", motion.arms, "drop_lowest_0.25"))
    ratings = [rate(study, axis, store) for axis in (motion, looks)]
    assert preferred(study, ratings) is None
    assert conclusion(study, ratings).startswith("Nothing is concluded")
    import_votes(str(looks.spec), "smoke", voted(tmp_path / "l.csv", looks.arms, "drop_lowest_0.0"))
    ratings = [rate(study, axis, store) for axis in (motion, looks)]
    point = preferred(study, ratings)
    assert point == {"subset.keep.motion.drop_lowest": 0.25, "subset.keep.aesthetics.drop_lowest": 0.0}
    assert ratings[0].elo["rating"].idxmax() == "drop_lowest_0.25"
    assert sentence(ratings[1]) == "aesthetics drop_lowest: the incumbent's 0.0 is preferred."
    final = load_spec(str(write_final_spec(study, point, "what raters preferred", tmp_path)), "smoke")
    assert (final.primary, final.seeds, final.baseline) == ("fvd", (5, 6), "incumbent")
    page = write_preference_report(study, store, ratings, tmp_path / "out", None).read_text()
    assert "The votes are people&#39;s." in page
    assert pl.read_csv(tmp_path / "out" / "ratings.csv").height == 5


def test_a_metric_votes_by_its_values_and_is_never_called_a_person(axes, store, tmp_path):
    study, (motion, looks) = axes(TEXT.replace("rater: votes", "rater: toy_clip_score"))
    votes = automatic_votes("toy_clip_score", plan(load_spec(str(motion.spec), "smoke")), store)
    assert votes.height == 3 * 2 * 3  # pairs of arms, seeds, clips
    assert set(votes["rater"]) == {"toy_clip_score (automatic)"}
    ratings = [rate(study, axis, store) for axis in (motion, looks)]
    assert set(preferred(study, ratings).values()) == {0.5}
    assert "no person was asked" in rater(study)
    page = write_preference_report(study, store, ratings, tmp_path / "out", None).read_text()
    assert "people" not in page.partition("<body>")[2]
    assert "toy_clip_score" in page


def test_null_is_no_filter_and_the_same_run_as_an_arm_without_one(store, tmp_path):
    by_clip, people = (load(f"thresholds_by_{name}", "smoke") for name in ("toy_clip", "preference"))
    axes = [write_axis(study, "subset.keep.motion.drop_lowest", tmp_path) for study in (by_clip, people)]
    assert axes[0].baseline == "drop_lowest_none"
    of_filter, *of_studies = (
        plan(load_spec(name, "smoke")) for name in ("filter_motion", *(str(a.spec) for a in axes))
    )
    scored = [{roles["score"] for roles in graph.runs.values()} for graph in of_studies]
    assert scored[0] == scored[1] == {roles["score"] for roles in of_filter.runs.values()}
    rated = Rated(axes[0], lacking="no votes yet")
    assert [row["level"] for row in level_rows(rated)] == ["none", "0.125", "0.25", "0.5"]


def test_equal_values_tie(axes, store, tmp_path):
    study, (motion, _) = axes(TEXT.replace("rater: votes", "rater: toy_clip_score"))
    graph = plan(load_spec(str(motion.spec), "smoke"))
    for roles in graph.runs.values():
        path = store.artifact(roles["score"]) / "per_clip.parquet"
        pl.read_parquet(path).with_columns(value=pl.lit(1.0)).write_parquet(path)
    assert set(automatic_votes("toy_clip_score", graph, store)["score"]) == {0.5}
    rated = rate(study, motion, store)
    assert {(row["elo"], row["low"], row["high"]) for row in level_rows(rated)} == {(1000, None, None)}
    page = write_preference_report(study, store, [rated], tmp_path / "out", None).read_text()
    assert "[1000, 1000]" not in page
    assert "[nan" not in page


def test_what_an_earlier_winner_came_to_goes_when_the_incumbent_wins(axes, tmp_path):
    study, _ = axes()
    found = {**study.file.incumbent, "subset.keep.motion.drop_lowest": 0.5}
    spec = write_final_spec(study, found, "what raters preferred", tmp_path)
    (tmp_path / "winner").mkdir()
    (tmp_path / "winner" / "report.html").write_text("better")
    assert write_final_spec(study, found, "what raters preferred", tmp_path) == spec
    assert (tmp_path / "winner" / "report.html").exists()
    assert write_final_spec(study, study.file.incumbent, "what raters preferred", tmp_path) is None
    assert not spec.exists()
    assert not (tmp_path / "winner").exists()
    for name in ("report.html", "figures/effects.png", "figures/mine.txt", "notes.html"):
        (tmp_path / "winner" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "winner" / name).write_text("better")
    assert write_final_spec(study, study.file.incumbent, "what raters preferred", tmp_path) is None
    left = {path.name for path in (tmp_path / "winner").rglob("*.*")}
    assert left == {"mine.txt", "notes.html"}, "only a report's own files go"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rater: votes\n", "", "preference needs a rater"),
        ("rater: votes", "rater: vote", "no rater 'vote'.*votes"),
        ("rater: votes", "rater: fvd", "no rater 'fvd'"),
        ("[preference]", "[preference, fvd]", "only objective"),
        (", step: 0.5}", "}", "votes need levels"),
        ("seeds: [0, 1]", "kept_share: {min: 0.1}", "leave it out"),
        (", primary: fvd", "", "retraining needs one as `primary`"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(axes, tmp_path, old, new, message):
    (tmp_path / "odd.yaml").write_text(TEXT.replace(old, new))
    with pytest.raises(DocumentError, match=message):
        load(str(tmp_path / "odd.yaml"), "smoke")
