import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from drawn_videos import write_videos

from bench import measures
from bench.cached_features import network
from bench.features import ENCODERS, features
from bench.folder_score import Request, score_folders
from bench.folders import Sampling, open_folder
from bench.metrics.distances import measured_distance
from bench.metrics.frechet import frechet_distance
from bench.metrics.protocols import PROTOCOLS
from svd_core.data.processes import worker_pool
from svd_core.data.video import VideoError
from svd_core.encoders.weights import MissingWeights, fetch
from svd_core.encoders.weights_table import TABLE

SHORT = replace(PROTOCOLS["unterthiner"], frames=9, name="nine frames")


@pytest.fixture(scope="module", autouse=True)
def weights():
    fetch("vgg16")
    fetch("i3d_k400")


@pytest.fixture
def request_(folders):
    real, generated = folders
    return Request(real, generated, ("fd_vgg16", "dynamic_degree"), SHORT)


@pytest.fixture
def counted(monkeypatch):
    """How many clips went through each encoder."""
    seen = dict.fromkeys(ENCODERS, 0)

    def counting(name, make):
        def made(protocol):
            encode = make(protocol)

            def count(clip):
                seen[name] += 1
                return encode(clip)

            return count

        return made

    for name, make in list(ENCODERS.items()):
        monkeypatch.setitem(ENCODERS, name, counting(name, make))
    network.cache_clear()
    yield seen
    network.cache_clear()


@pytest.fixture(autouse=True)
def fresh_measures():
    measures.measure.cache_clear()
    yield
    measures.measure.cache_clear()


def clips_of(folder):
    return np.stack([next(Sampling(SHORT, "first").clips(file)) for file in open_folder(folder)])


def test_a_score_is_that_of_the_clips_and_says_all_of_itself(request_, tmp_path):
    scored = score_folders(request_, tmp_path)
    ours, theirs = (features("vgg16", clips_of(folder)) for folder in (request_.generated, request_.real))
    score = scored.scores["fd_vgg16"]
    assert score.value == frechet_distance(ours, theirs)
    assert (score.name, score.n, score.n_reference, score.frames, score.resolution) == ("FD[vgg16]", 3, 4, 3, "32x48")
    assert score.weights == TABLE["vgg16"].sha256
    assert scored.scores["dynamic_degree"].n == 3


def test_json_and_parquet_hold_everything(request_, tmp_path):
    score_folders(request_, tmp_path / "cache").write(tmp_path / "out")
    found = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert set(found["scores"]) == {"fd_vgg16", "dynamic_degree"}
    assert found["protocol"]["frames"] == 9 and found["real"] == str(request_.real)
    table = pl.read_parquet(tmp_path / "out" / "per_clip.parquet")
    assert table.columns == ["file", "clip", "metric", "value"]
    assert table["file"].to_list() == ["a.mp4", "b.mp4", "c.mp4"]
    assert table["value"].mean() == found["scores"]["dynamic_degree"]["value"]


def test_a_video_goes_through_an_encoder_once_ever(request_, tmp_path, counted):
    first = score_folders(request_, tmp_path)
    assert counted["vgg16"] == 7
    again = score_folders(replace(request_, metrics=("fd_vgg16",)), tmp_path)
    assert counted["vgg16"] == 7
    assert again.scores["fd_vgg16"] == first.scores["fd_vgg16"]
    score_folders(replace(request_, generated=request_.real), tmp_path)
    assert counted["vgg16"] == 7
    damaged = next(tmp_path.rglob("*.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-4])
    assert score_folders(request_, tmp_path).scores == first.scores
    assert counted["vgg16"] == 8


def test_other_frames_are_other_features(request_, tmp_path, counted):
    score_folders(request_, tmp_path)
    score_folders(replace(request_, protocol=replace(SHORT, frames=10)), tmp_path)
    assert counted["vgg16"] == 14


@pytest.mark.slow
def test_metrics_of_one_encoder_share_its_forwards(request_, tmp_path, counted):
    asked = replace(request_, metrics=("fvd", "kvd", "fvd_extrapolated"))
    scored = score_folders(asked, tmp_path)
    assert counted["i3d_k400"] == 7
    assert scored.scores["fvd"].name == "FVD[i3d-k400, nine frames]"
    assert scored.scores["fvd"].value > 0
    assert scored.scores["kvd"].value is not None
    assert scored.scores["fvd_extrapolated"].value is None
    assert "at least 4 samples" in scored.scores["fvd_extrapolated"].error


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_bits(request_, tmp_path):
    alone = score_folders(request_, tmp_path / "alone")
    with worker_pool(2) as pool:
        together = score_folders(request_, tmp_path / "together", spread=pool.map)
        with pytest.raises(VideoError, match=r"a\.mp4: stops decoding|a\.mp4: is damaged|a\.mp4: ends early"):
            encode_in(pool, damaged(tmp_path / "damaged"), request_, tmp_path / "other")
    assert together.scores == alone.scores
    assert together.per_clip.equals(alone.per_clip)
    kept = [
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.npy")} for name in ("alone", "together")
    ]
    assert kept[0] == kept[1]


def encode_in(pool, folder, request, cache):
    score_folders(replace(request, generated=folder), cache, spread=pool.map)


def damaged(folder):
    write_videos(folder, ["a.mp4", "b.mp4"])
    data = bytearray((folder / "a.mp4").read_bytes())
    data[200:900] = bytes(700)
    (folder / "a.mp4").write_bytes(data)
    return folder


def test_progress_runs_from_start_to_end(request_, tmp_path):
    seen = []
    score_folders(request_, tmp_path, progress=lambda done, total, **_: seen.append((done, total)))
    assert seen == [(number, 10) for number in range(1, 11)]


def test_identical_folders_are_at_no_distance(request_, tmp_path):
    scored = score_folders(replace(request_, generated=request_.real), tmp_path)
    assert scored.scores["fd_vgg16"].value < 1e-9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ("fd_vgg",)}, "did you mean 'fd_vgg16'"),
        ({"metrics": ("toy_clip_score",)}, "judges runs of an ablation only"),
        ({"metrics": ("fvd",), "protocol": replace(SHORT, frames=8)}, "at least 9 frames a clip, got 8"),
        ({"protocol": replace(SHORT, frames=13)}, r"a.mp4: is too short: 12 frames"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_encoded(request_, tmp_path, counted, changes, message):
    with pytest.raises(ValueError, match=message):
        score_folders(replace(request_, **changes), tmp_path)
    assert not any(counted.values())


def test_missing_weights_are_named(request_, tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeights, match="ablate weights fetch vgg16"):
        score_folders(request_, tmp_path)


def test_one_video_is_too_few(request_, tmp_path):
    lonely = write_videos(tmp_path / "lonely", ["a.mp4"])
    with pytest.raises(ValueError, match="lonely holds 1 clip, and a distance between sets needs at least 2"):
        score_folders(replace(request_, generated=lonely), tmp_path)


def test_a_video_damaged_in_the_middle_is_named(request_, tmp_path):
    with pytest.raises(VideoError, match=r"a\.mp4"):
        score_folders(replace(request_, generated=damaged(tmp_path / "damaged")), tmp_path)


def test_a_crop_that_does_not_fit_names_the_file(request_, tmp_path):
    narrow = replace(SHORT, crop=(240, 640), name="wide")
    with pytest.raises(VideoError, match=r"a\.mp4: protocol 'wide' cuts 240 x 640 .* only 360 wide"):
        score_folders(replace(request_, metrics=("fd_vgg16",), protocol=narrow), tmp_path)


def test_pairs_are_matched_by_name(request_, tmp_path, monkeypatch):
    monkeypatch.setitem(
        measures.OF_PAIRS, "dynamic_degree", lambda: lambda a, b: float(np.abs(a - b.astype(float)).mean())
    )
    monkeypatch.delitem(measures.OF_CLIPS, "dynamic_degree")
    with pytest.raises(ValueError, match="4 real and 3 generated, and 'deep/d' is on one side only"):
        score_folders(replace(request_, metrics=("dynamic_degree",)), tmp_path)
    same = score_folders(replace(request_, metrics=("dynamic_degree",), generated=request_.real), tmp_path)
    assert same.per_clip["value"].to_list() == [0.0] * 4


def test_pairs_of_unequal_length_are_refused(request_, tmp_path, monkeypatch):
    monkeypatch.setitem(measures.OF_PAIRS, "dynamic_degree", lambda: lambda a, b: 0.0)
    monkeypatch.delitem(measures.OF_CLIPS, "dynamic_degree")
    long = write_videos(tmp_path / "long", ["a.mp4", "b.mp4", "c.mp4", "deep/d.mp4"], frames=18)
    asked = replace(request_, metrics=("dynamic_degree",), generated=long, protocol=replace(SHORT, clips_per_video=0))
    with pytest.raises(VideoError, match=r"long/a\.mp4: has 2 clips, and .*real/a\.mp4 has 1"):
        score_folders(asked, tmp_path)


def test_prompts_that_no_metric_reads_are_refused(request_, tmp_path):
    with pytest.raises(ValueError, match="no metric that is asked for reads prompts: add clip_score"):
        score_folders(replace(request_, texts={"a.mp4": "ring"}), tmp_path)


def test_prompts_are_asked_for_and_checked(request_, tmp_path, monkeypatch):
    monkeypatch.setitem(measures.OF_TEXTS, "dynamic_degree", lambda: lambda clip, text: float(len(text)))
    monkeypatch.delitem(measures.OF_CLIPS, "dynamic_degree")
    asked = replace(request_, metrics=("dynamic_degree",))
    with pytest.raises(ValueError, match="give --prompts"):
        score_folders(asked, tmp_path)
    with pytest.raises(VideoError, match=r"b\.mp4: has no prompt under 'b\.mp4' \(2 without\)"):
        score_folders(replace(asked, texts={"a.mp4": "ring"}), tmp_path)
    texts = {"a.mp4": "ring", "b.mp4": "square", "c.mp4": ""}
    assert score_folders(replace(asked, texts=texts), tmp_path).per_clip["value"].to_list() == [4.0, 6.0, 0.0]


def test_a_metric_that_fails_on_a_clip_names_it(request_, tmp_path, monkeypatch):
    def fail(clip):
        raise ValueError("too dark")

    monkeypatch.setitem(measures.OF_CLIPS, "dynamic_degree", lambda: fail)
    with pytest.raises(VideoError, match=r"a\.mp4: clip 0: too dark"):
        score_folders(replace(request_, metrics=("dynamic_degree",)), tmp_path)


def test_a_mean_that_is_not_finite_is_null_with_its_reason(request_, tmp_path, monkeypatch):
    monkeypatch.setitem(measures.OF_CLIPS, "dynamic_degree", lambda: lambda clip: float("inf"))
    score = score_folders(replace(request_, metrics=("dynamic_degree",)), tmp_path).scores["dynamic_degree"]
    assert score.value is None
    assert score.error == "3 of 3 clips have no finite value, first a.mp4"


def test_order_of_files_changes_nothing_but_rounding(request_, tmp_path):
    ours, theirs = (features("vgg16", clips_of(folder)) for folder in (request_.generated, request_.real))
    expected = measured_distance("frechet", ours, theirs, clips=3)[0]
    assert measured_distance("frechet", ours[::-1], theirs[::-1], clips=3)[0] == pytest.approx(expected, rel=1e-9)
    assert isinstance(request_.real, Path)
