"""`ablate search` as its user runs it: tiny, but with every part real."""

import os
import random
import signal
import time

import optuna
import pytest
from optuna.trial import TrialState
from worlds import SUBSETS, TRAINED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SMOKE = ("--scale", "smoke")


@pytest.fixture
def study(tmp_path):
    def write(name, text):
        (tmp_path / f"{name}.yaml").write_text(text)
        return f"{name}.yaml"

    return write


def trials(store, name):
    path = store / "studies" / f"{name}-smoke.log"
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    return optuna.load_study(study_name=name, storage=storage).get_trials()


def test_killed_ten_times_no_trial_is_lost_doubled_or_stuck(ablate, smoke_store, study):
    path = study("killed", SUBSETS.replace("high: 0.75, step: 0.125", "high: 0.5, step: 0.0625"))
    assert ablate("search", path, *SMOKE, "--trials", "1").returncode == 0
    journal = smoke_store / "studies" / "killed-smoke.log"
    draw = random.Random(0)
    for _ in range(10):
        end = journal.stat().st_size + draw.randrange(500, 2500)
        process = ablate.start("search", path, *SMOKE, "--trials", "45")
        while journal.stat().st_size < end and process.poll() is None:
            time.sleep(0.002)
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = ablate("search", path, *SMOKE, "--trials", "45")
    assert done.returncode == 0, done.stdout + done.stderr
    found = trials(smoke_store, "killed")
    assert {trial.state for trial in found} == {TrialState.COMPLETE}
    assert [trial.number for trial in found] == list(range(len(found)))
    own = [tuple(t.user_attrs["fingerprints"]) for t in found if "duplicate_of" not in t.user_attrs]
    assert len(own) == len(set(own)) == 45
    assert all(trial.user_attrs["by_seed"]["kept_f1"]["0"] == trial.values[0] for trial in found if trial.number in own)


def test_trained_in_rungs_then_retrained_against_the_incumbent(ablate, smoke_store, study, tmp_path):
    text = TRAINED.replace("[0, 1]", "[0]").replace("[fvd]", "[fd_vgg16]").replace("trials: 12", "trials: 4")
    text += "pruner: {rungs: 2, factor: 2}\nfinal: {seeds: [5, 6], reference_seed: 9}\n"
    done = ablate("search", study("trained", text), *SMOKE)
    assert done.returncode == 0, done.stdout + done.stderr
    results = smoke_store / "results" / "trained-smoke"
    page = (results / "report.html").read_text()
    assert "Best by FD[vgg16]" in page
    assert (results / "figures" / "history.png").stat().st_size > 0
    found = trials(smoke_store, "trained")
    assert {trial.state for trial in found} <= {TrialState.COMPLETE, TrialState.PRUNED}
    best = min((t for t in found if t.state == TrialState.COMPLETE), key=lambda t: t.values[0])
    if best.number == 0:
        assert "nothing better was found" in page
    else:
        assert "Retrained with fresh seeds" in page
        assert (results / "winner" / "report.html").exists()
    again = ablate("search", study("trained", text), *SMOKE)
    assert again.returncode == 0
    assert "trial " not in again.stdout.replace("trials", "")


def test_a_constraint_that_nothing_meets_names_the_nearest_feasible(ablate, study):
    text = SUBSETS.replace("low: 0.0", "low: 0.25").replace("drop_lowest: 0.0", "drop_lowest: 0.25")
    text += "kept_share: {min: 0.9}\n"
    done = ablate("search", study("impossible", text), *SMOKE)
    assert done.returncode == 2
    assert "impossible.yaml:11:14: nothing meets this: no point keeps more than 0." in done.stderr
    assert "the nearest feasible is min: 0." in done.stderr
    assert "trial 0" not in done.stdout


def test_a_second_controller_is_refused(ablate, study):
    path = study("twice", SUBSETS)
    first = ablate.start("search", path, *SMOKE, "--trials", "45")
    while not first.stdout.readline().startswith("trial 0"):
        assert first.poll() is None
    second = ablate("search", path, *SMOKE)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert second.returncode == 2
    assert "a study has one controller" in second.stderr
