import json

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file, save_file

from bench.features import features
from bench.metrics.frechet import frechet_distance
from bench.reference import reference_features
from bench.score import Texts, mean_of, measure, score
from bench.settings import ReferenceFeaturesSettings, ScoreSettings
from svd_core.device import CHOSEN, best_device
from svd_core.encoders.toy_clip import train_toy_clip
from svd_core.encoders.weights import MissingWeights, fetch
from svd_core.encoders.weights_table import TABLE
from svd_core.settings import ToyClipSettings

CLIPS, FRAMES = 4, 9


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    videos = np.random.default_rng(0).integers(0, 256, (CLIPS, FRAMES, 3, 8, 8), dtype=np.uint8)
    save_file({"videos": videos}, folder / "videos.safetensors")
    (folder / "prompts.json").write_text(json.dumps([{"prompt": "a white ring", "fps": 8}] * CLIPS))
    return folder


@pytest.fixture(scope="module")
def reference(samples, tmp_path_factory):
    """VGG16 features of other clips."""
    fetch("vgg16")
    folder, out = tmp_path_factory.mktemp("reference"), tmp_path_factory.mktemp("features")
    videos = np.random.default_rng(1).integers(0, 256, (6, FRAMES, 3, 8, 8), dtype=np.uint8)
    save_file({"videos": videos}, folder / "clips.safetensors")
    reference_features(ReferenceFeaturesSettings(encoder="vgg16"), folder, out)
    return out


@pytest.fixture(scope="module")
def toy_clip(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy_clip")
    train_toy_clip(ToyClipSettings(images=64, steps=2, batch_size=16), out)
    return out


@pytest.fixture(scope="module")
def scored(samples, reference, toy_clip, tmp_path_factory):
    out = tmp_path_factory.mktemp("scores")
    metrics = ("fd_vgg16", "fid", "toy_clip_score", "dynamic_degree")
    score(ScoreSettings(metrics=metrics), samples, {"vgg16": reference}, toy_clip, out)
    return out


@pytest.fixture(scope="module")
def scores(scored):
    return json.loads((scored / "scores.json").read_text())


def test_a_number_carries_its_name_in_full(scores, samples, reference):
    ours = features("vgg16", load_file(samples / "videos.safetensors")["videos"])
    assert scores["fd_vgg16"] == {
        "value": frechet_distance(ours, load_file(reference / "vgg16.safetensors")["features"]),
        "name": "FD[vgg16]",
        "direction": "lower",
        "encoder": "vgg16",
        "weights": TABLE["vgg16"].sha256,
        "n": CLIPS,
        "n_reference": 6,
        "frames": 3,
        "resolution": 8,
        "error": None,
        "stderr": None,
    }


def test_a_failed_metric_is_null_with_its_reason(scores):
    assert scores["fid"]["value"] is None
    assert "no inception features" in scores["fid"]["error"]
    assert scores["toy_clip_score"]["value"] is not None


def test_per_clip_values_average_to_the_score(scored, scores):
    table = pl.read_parquet(scored / "per_clip.parquet")
    assert table.columns == ["clip", "metric", "value"]
    for name in ("toy_clip_score", "dynamic_degree"):
        values = table.filter(pl.col("metric") == name)["value"]
        assert len(values) == CLIPS
        assert values.mean() == pytest.approx(scores[name]["value"])


def test_scoring_twice_gives_the_same_bytes(scored, samples, reference, toy_clip, tmp_path):
    metrics = ("fd_vgg16", "fid", "toy_clip_score", "dynamic_degree")
    progress: list[float] = []

    def listen(done, total, **figures):
        progress.append(done / total)

    score(ScoreSettings(metrics=metrics), samples, {"vgg16": reference}, toy_clip, tmp_path, progress=listen)
    for name in ("scores.json", "per_clip.parquet"):
        assert (tmp_path / name).read_bytes() == (scored / name).read_bytes()
    assert progress == sorted(progress) and progress[-1] == 1


def test_features_do_not_depend_on_neighbours_or_order(samples):
    videos = load_file(samples / "videos.safetensors")["videos"][:2]
    first, second = features("vgg16", videos).reshape(2, 3, -1)
    np.testing.assert_array_equal(features("vgg16", videos[::-1]), np.concatenate([second, first]))
    np.testing.assert_array_equal(features("vgg16", videos[1:]), second)


def test_too_short_videos_leave_the_other_metrics_standing(toy_clip, tmp_path):
    fetch("i3d_k400")
    save_file({"videos": np.zeros((2, 8, 3, 8, 8), np.uint8)}, tmp_path / "videos.safetensors")
    save_file({"features": np.zeros((4, 400), np.float32)}, tmp_path / "i3d_k400.safetensors")
    (tmp_path / "prompts.json").write_text(json.dumps([{"prompt": "ring", "fps": 8}] * 2))
    settings = ScoreSettings(metrics=("fvd", "dynamic_degree"))
    score(settings, tmp_path, {"i3d_k400": tmp_path}, None, tmp_path)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["fvd"]["value"] is None
    assert "at least 9 frames, got 8" in scores["fvd"]["error"]
    assert scores["dynamic_degree"]["value"] == 0


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, OSError, ImportError, MissingWeights])
def test_what_may_go_well_another_time_is_no_score(kind, monkeypatch):
    """A null with a reason would be kept as the run's score for ever."""

    def fail(*_):
        raise kind("out of memory, or not there: not now")

    monkeypatch.setattr("bench.score.of_each_clip", fail)
    with pytest.raises(kind, match="not now"):
        measure("dynamic_degree", np.zeros((2, 3, 3, 8, 8), np.uint8), Texts([], [], None), {}, None, {})


def test_a_gpu_that_cannot_be_used_is_no_score(monkeypatch):
    monkeypatch.setenv(CHOSEN, "0")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("bench.score.of_each_clip", lambda *_: best_device())
    with pytest.raises(RuntimeError, match="cannot use GPU 0"):
        measure("dynamic_degree", np.zeros((2, 3, 3, 8, 8), np.uint8), Texts([], [], None), {}, None, {})


def test_a_clip_without_a_finite_value_leaves_no_mean():
    found = mean_of(np.array([1.0, np.inf, np.nan]))
    assert (found.value, found.error) == (None, "2 of 3 clips have no finite value, first clip 1")
