import json

import pytest

from ablations.artifacts import Store
from ablations.plan import plan
from ablations.spec import load
from ablations.tensorboard import Curves

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")


def lines(*samples):
    return "".join(json.dumps({"samples": n, "loss": 1 / n, "grad_norm": 2.0}) + "\n" for n in samples)


def test_curves_follow_a_training_that_is_resumed_and_finished(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    graph, store = plan(load("data_curation", "smoke")), Store(tmp_path / "store")
    key = graph.runs["filtered", 1]["pretrain_videos"]
    curves = Curves(graph, store, tmp_path / "curves")
    assert not curves.follow()
    path = store.work(key) / "metrics.jsonl"
    path.write_text(lines(100, 200, 300) + '{"samples": 4')
    curves.follow()
    path.write_text(lines(100, 200))  # training went back to its last checkpoint
    curves.follow()
    store.folder("artifacts")
    store.work(key).rename(store.artifact(key))
    (store.artifact(key) / "metrics.jsonl").write_text(lines(100, 200, 300, 400))
    curves.follow()
    curves.close()
    (run,) = (tmp_path / "curves").iterdir()
    assert run.name == "pretrain_videos-filtered---seed-1"
    events = EventAccumulator(str(run))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [100, 200, 300, 400]
    assert [round(event.value, 6) for event in events.Scalars("loss")] == [0.01, 0.005, 0.003333, 0.0025]
