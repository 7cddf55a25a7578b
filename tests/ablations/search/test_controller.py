"""The controller over real graphs whose artifacts cost nothing; Optuna and its journal are real."""

import optuna
import pytest
from optuna.trial import TrialState
from worlds import ALIGNMENT, MOTION, SUBSETS, TRAINED

from ablations.errors import AblateError, RunError
from ablations.search import controller
from ablations.search.journal import ChangedStudy, counted, journal_path, open_journal
from ablations.search.winner import finished, front, winner

HALVING = TRAINED + "pruner: {rungs: 3, factor: 5}\n"


def states(journal):
    return [trial.state for trial in journal.get_trials()]


def experiments(journal):
    return [tuple(t.user_attrs["fingerprints"]) for t in journal.get_trials() if "duplicate_of" not in t.user_attrs]


def test_the_budget_is_spent_and_the_incumbent_goes_first(play):
    game = play(TRAINED)
    journal = game.run()
    assert states(journal) == [TrialState.COMPLETE] * len(journal.get_trials())
    assert len(counted(journal.get_trials())) == 12
    assert journal.get_trials()[0].params == game.study.file.incumbent
    best = winner(game.study, journal)
    assert best.values[0] == min(trial.values[0] for trial in journal.get_trials())
    assert best.user_attrs["by_seed"]["fvd"].keys() == {"0", "1"}


def test_more_trials_go_on_where_the_study_stopped(play):
    game = play(TRAINED)
    first = [trial.params for trial in game.run(6).get_trials()]
    more = [trial.params for trial in game.run(12).get_trials()]
    assert more[: len(first)] == first
    assert len(more) >= 12


def test_a_promoted_trial_never_trains_twice(play):
    game = play(HALVING)
    journal = game.run()
    trainings = {}
    for trial in journal.get_trials():
        candidate = controller.Candidate.of(game.study, trial.params)
        for seed in game.study.file.seeds:
            chain = [rung[seed]["pretrain_videos"] for rung in candidate.rungs]
            assert [node.settings["samples"] for node in chain] == [40, 200, 1000]
            assert [node.parents.get("previous") for node in chain] == [None, chain[0].key, chain[1].key]
            trainings |= {node.key: node for node in chain}
    made = [key for key in game.world.made if key.startswith("pretrain_videos")]
    assert len(made) == len(set(made))
    assert {trainings[key].settings["samples"] for key in made} == {40, 200, 1000}
    pruned = [t for t in journal.get_trials() if t.state == TrialState.PRUNED and "duplicate_of" not in t.user_attrs]
    assert pruned
    assert all("not among the best after" in t.user_attrs["reason"] for t in pruned)
    assert len([key for key in made if trainings[key].settings["samples"] == 1000]) < len(made) / 2


def test_duplicates_are_recognised_cost_nothing_and_end_the_search(play, monkeypatch):
    monkeypatch.setattr(controller, "MOST_DUPLICATES", 20)
    tiny = TRAINED.replace("high: 0.75, step: 0.125", "high: 0.5, step: 0.5")
    game = play(tiny)
    journal = game.run(40)
    assert len(experiments(journal)) == len(set(experiments(journal))) <= 4
    twins = [trial for trial in journal.get_trials() if "duplicate_of" in trial.user_attrs]
    for trial in twins:
        original = journal.get_trials()[trial.user_attrs["duplicate_of"]]
        assert (trial.values, trial.params) == (original.values, original.params)
    assert len(twins) >= 20
    assert "had all been tried" in game.said[-1]
    made = [key for key in game.world.made if key.startswith("pretrain_videos")]
    assert len(made) == 2 * len(experiments(journal))


def test_what_breaks_the_constraint_is_never_trained(play):
    game = play(TRAINED + "kept_share: {min: 0.3, max: 0.9}\n")
    journal = game.run(20)
    inside = [t for t in journal.get_trials() if t.state == TrialState.COMPLETE]
    outside = [t for t in journal.get_trials() if t.state == TrialState.PRUNED]
    assert inside
    assert outside
    assert {t.number for t in finished(journal)} <= {t.number for t in inside}
    for trial in inside + outside:
        share = (1 - trial.params[MOTION]) * (1 - trial.params[ALIGNMENT])
        assert trial.user_attrs["kept_share"] == pytest.approx(share)
        assert (trial in inside) == (0.3 <= share <= 0.9)
    assert "keeps 1.000 of all clips, not 0.3 to 0.9" in {t.user_attrs["reason"] for t in outside}
    trained = {key for key in game.world.made if key.startswith("pretrain_videos")}
    assert len(trained) == 2 * len(set(experiments(journal)) & {tuple(t.user_attrs["fingerprints"]) for t in inside})


def test_failed_and_unmeasured_trials_keep_their_reason_and_the_search_goes_on(play):
    game = play(TRAINED)
    game.world.failing["{'motion': 0.0, 'alignment': 0.0}"] = "NonFiniteLoss: loss is nan after 40 samples"
    plain = game.world.score

    def diverging(shares, samples, seed):
        return (
            None if shares["motion"] > 0.5 else float("inf") if shares["motion"] > 0.3 else plain(shares, samples, seed)
        )

    game.world.score = diverging
    journal = game.run()
    failed = [t for t in journal.get_trials() if t.state == TrialState.FAIL]
    reasons = " ".join(t.user_attrs["reason"] for t in failed)
    assert "failed: NonFiniteLoss: loss is nan after 40 samples (log: the.log)" in failed[0].user_attrs["reason"]
    assert "fvd is None: diverged" in reasons
    assert "fvd is inf: not a finite number" in reasons
    assert len(counted(journal.get_trials())) == 12
    assert winner(game.study, journal) is not None


def test_a_full_disk_stops_the_search_and_fails_no_trial(play):
    game = play(TRAINED)
    game.world.failing["{'motion': 0.0, 'alignment': 0.0}"], game.world.kind = "OSError: no space left", "disk_full"
    with pytest.raises(RunError, match=r"for a cause that may pass: OSError: no space left .* trial 0 is kept"):
        game.run()
    game.world.failing.clear()
    journal = game.run()
    assert journal.get_trials()[0].state == TrialState.COMPLETE
    assert not [t for t in journal.get_trials() if t.state == TrialState.FAIL]


def test_nsga2_finds_a_front_of_quality_and_size(play):
    text = SUBSETS.replace("[kept_f1]", "[kept_f1, kept_share]") + "sampler: nsga2\npopulation: 6\n"
    game = play(text)
    journal = game.run(30)
    best = front(game.study, journal)
    assert len(best) > 2
    values = [trial.values for trial in best]
    assert values == sorted(values)
    assert [share for _, share in values] == sorted((share for _, share in values), reverse=True)
    whole = max(t.values[1] for t in finished(journal))
    assert values[0][1] == whole


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


@pytest.mark.parametrize("text", [TRAINED + "kept_share: {min: 0.2}\n", HALVING], ids=["constraint", "rungs"])
def test_killed_at_any_write_of_the_journal_no_trial_is_lost_doubled_or_stuck(play, monkeypatch, text):
    """Killed after every 7th write, which is at another place each time."""
    game = play(text)
    append = optuna.storages.journal.JournalFileBackend.append_logs
    budget = {"left": 0}

    def mortal(self, logs):
        append(self, logs)
        budget["left"] -= 1
        if budget["left"] <= 0:
            raise Killed

    monkeypatch.setattr(optuna.storages.journal.JournalFileBackend, "append_logs", mortal)
    kills = 0
    while True:
        budget["left"] = 7
        try:
            journal = game.run()
        except Killed:
            kills += 1
        else:
            break
    assert kills >= 10
    assert {trial.state for trial in journal.get_trials()} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert [trial.number for trial in journal.get_trials()] == list(range(len(journal.get_trials())))
    assert len(experiments(journal)) == len(set(experiments(journal))) == 12
    made = [key for key in game.world.made if key.startswith("pretrain_videos")]
    assert len(made) == len(set(made))


def test_a_half_written_line_is_dropped(play):
    game = play(TRAINED)
    game.run(4)
    path = journal_path(game.study, game.store)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"wor')
    assert len(counted(game.run(6).get_trials())) == 6


def test_a_changed_space_is_refused_with_a_diff_and_can_be_forked(play):
    game = play(TRAINED)
    old = game.run(8)
    made = list(game.world.made)
    changed = play(
        TRAINED.replace("high: 0.75, step: 0.125}\n  subset.keep.a", "high: 0.5, step: 0.125}\n  subset.keep.a")
    )
    with pytest.raises(ChangedStudy) as caught:
        changed.run(8)
    message = str(caught.value)
    assert f'parameters.{MOTION}: {{"low": 0.0, "high": 0.75' in message
    assert '→ {"low": 0.0, "high": 0.5' in message
    assert "--fork" in message
    fork = changed.run(8, fork=True)
    assert fork.study_name == "mine.2"
    carried = [t.params for t in old.get_trials() if t.params[MOTION] <= 0.5]
    tried = [trial.params for trial in fork.get_trials()]
    assert tried[: len(set(map(str, carried)))] == [
        params for n, params in enumerate(carried) if params not in carried[:n]
    ]
    again = [key for key in changed.world.made if key in made]
    assert again == []
    assert open_journal(changed.study, changed.store).study_name == "mine.2"
    assert open_journal(game.study, game.store).study_name == "mine"


def test_a_change_of_words_or_budget_is_no_change(play):
    play(TRAINED).run(4)
    assert (
        len(counted(play(TRAINED.replace("Which two", "What").replace("trials: 12", "trials: 6")).run().get_trials()))
        == 6
    )


def test_a_journal_with_a_line_that_is_none_is_refused_naming_it(play):
    game = play(SUBSETS)
    game.run()
    path = journal_path(game.study, game.store)
    whole = path.read_bytes()
    path.write_bytes(b"scribble\n" + whole)
    with pytest.raises(AblateError, match=rf"{path.name}:1: no line of a journal .* take it out to go on"):
        open_journal(game.study, game.store)
    path.write_bytes(whole)
    assert counted(open_journal(game.study, game.store).get_trials())
