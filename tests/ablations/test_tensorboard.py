import json

import cv2
import numpy as np
import pytest

from ablations.artifacts import Store
from ablations.plan import plan
from ablations.spec import load
from ablations.tensorboard import Curves, PhaseCurves

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")


BY_SIGMA = {"loss_by_sigma": {"..-2": None, "-2..-1": 0.5}}


def lines(*samples):
    return "".join(json.dumps({"samples": n, "loss": 1 / n, "grad_norm": 2.0, **BY_SIGMA}) + "\n" for n in samples)


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
    assert events.Scalars("loss_by_sigma/-2..-1")[0].value == 0.5
    assert "loss_by_sigma/..-2" not in events.Tags()["scalars"], "no sample fell there"


def test_phases_of_a_training_have_timing_and_sample_grids_too(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    phase = tmp_path / "run" / "01-videos"
    (phase / "samples").mkdir(parents=True)
    curves = PhaseCurves(tmp_path / "run", tmp_path / "curves")
    (phase / "metrics.jsonl").write_text(lines(100))
    head = json.dumps({"flops_per_sample": 1.0, "peak": {"source": "a test"}}) + "\n"
    line = json.dumps({"samples": 100, "samples_per_second": 3.0, "mfu": None, "memory_bytes": 5}) + "\n"
    (phase / "timing.jsonl").write_text(head + line)
    curves.follow()
    cv2.imwrite(str(phase / "samples" / "000000000100.png"), np.zeros((4, 6, 3), np.uint8))
    curves.close()
    events = EventAccumulator(str(tmp_path / "curves" / "01-videos"))
    events.Reload()
    found = {name: events.Scalars(name)[0].value for name in events.Tags()["scalars"]}
    own = {"loss": pytest.approx(0.01), "grad_norm": 2, "loss_by_sigma/-2..-1": 0.5}
    assert found == {**own, "samples_per_second": 3, "memory_bytes": 5}
    (image,) = events.Images("samples")
    assert (image.step, image.height, image.width) == (100, 4, 6)
