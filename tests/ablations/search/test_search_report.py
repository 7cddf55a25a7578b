import csv

import pytest
from worlds import SUBSETS, TRAINED

from ablations.search.figures import LABELS, label
from ablations.search.report import write_search_report
from ablations.search.study import DIRECTIONS
from ablations.search.winner import winner, write_final_spec
from ablations.spec import load


def written(game, journal, tmp_path):
    out = tmp_path / "results"
    page = write_search_report(game.study, journal, game.store, out, None).read_text()
    with (out / "trials.csv").open() as file:
        return out, page, list(csv.DictReader(file))


def test_a_page_with_history_importance_and_every_trial(play, tmp_path):
    game = play(TRAINED.replace("two shares", "<b>two</b> shares") + "kept_share: {min: 0.3}\n")
    journal = game.run(16)
    out, page, rows = written(game, journal, tmp_path)
    assert [row["trial"] for row in rows] == [str(trial.number) for trial in journal.get_trials()]
    assert {path.name for path in (out / "figures").iterdir()} >= {"history.png", "history.pdf", "importance.png"}
    best = winner(game.study, journal)
    assert f"Best by FVD[i3d-k400]: trial {best.number} with {best.values[0]:.4g}" in page
    assert "against the incumbent" in page
    assert "only retraining with fresh seeds can tell" in page
    assert "16 trials" in page
    assert "49 points of the space" in page
    assert "&lt;b&gt;two&lt;/b&gt; shares" in page
    assert "optuna-dashboard $ABLATE_STORE/studies/mine-laptop.log" in page
    assert "of all clips, not 0.3 to 1" in page


def test_a_front_has_its_figure_and_table(play, tmp_path):
    game = play(SUBSETS.replace("[kept_f1]", "[kept_f1, kept_share]") + "sampler: nsga2\npopulation: 6\n")
    out, page, _ = written(game, game.run(), tmp_path)
    assert (out / "figures" / "front.png").exists()
    assert "No other trial beats these in every objective." in page
    for name in ("F1 of kept clips", "share of clips kept"):
        assert f">{name}</th>" in page
    assert "kept_share" not in page.partition("Study text")[0]


def test_figures_call_objectives_as_all_reports_do():
    assert label("fvd") == "FVD[i3d-k400] ↓"
    assert label("kept_precision") == "precision of kept clips ↑"
    assert LABELS.keys() == DIRECTIONS.keys()


def test_nothing_found_is_said(play, tmp_path):
    game = play(TRAINED)
    game.world.score = lambda shares, samples, seed: float("nan")
    journal = game.run(4)
    out, page, rows = written(game, journal, tmp_path)
    assert "nothing was found" in page
    assert "4 failed" in page
    assert all(row["state"] == "fail" and row["fvd"] == "" and "not a finite number" in row["note"] for row in rows)
    assert not list((out / "figures").iterdir())


def test_the_winner_becomes_an_ablation_on_what_chose_nothing(play, tmp_path):
    game = play(TRAINED + "final: {seeds: [5, 6], reference_seed: 9}\n")
    journal = game.run()
    best = winner(game.study, journal)
    spec = load(str(write_final_spec(game.study, best.params, "the best trial", tmp_path / "results")))
    assert spec.seeds == (5, 6)
    assert (spec.baseline, spec.primary) == ("incumbent", "fvd")
    assert {arm: recipe.reference.seed for arm, recipe in spec.arms.items()} == {"incumbent": 9, "found": 9}
    assert spec.arms["found"].subset.keep.motion.drop_lowest == best.params["subset.keep.motion.drop_lowest"]
    assert spec.arms["incumbent"].subset.keep.motion.drop_lowest == 0.0
    assert spec.arms["found"].pretrain_videos.samples == 1000


@pytest.mark.parametrize("text", [TRAINED, TRAINED + "final: {seeds: [5, 6], reference_seed: 9}\n"])
def test_there_is_nothing_to_retrain_where_the_incumbent_won_or_no_retraining_is_asked(play, tmp_path, text):
    game = play(text)
    incumbent = game.run(1).get_trials()[0]
    assert write_final_spec(game.study, incumbent.params, "trial 0", tmp_path / "results") is None
