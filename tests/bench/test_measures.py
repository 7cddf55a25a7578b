"""Folders are scored with the same numbers as arrays."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from drawn_videos import write_videos
from scipy import stats

from ablations.statistics import clustered_mean
from bench.folder_score import Request, finite_mean, score_folders
from bench.folders import Sampling, open_folder
from bench.held_out import OF_ORBITS
from bench.measures import OF_CLIPS, OF_PAIRS, OF_TEXTS
from bench.metrics import lpips, motion_smoothness, psnr, ssim, temporal_flicker
from bench.metrics.protocols import PROTOCOLS
from bench.settings import METRICS
from svd_core.encoders.weights import fetch
from svd_core.encoders.weights_table import TABLE

SHORT = replace(PROTOCOLS["unterthiner"], frames=9, name="nine frames")
PAIRED = {"lpips": lpips, "psnr": psnr, "ssim": ssim}
SINGLE = {"temporal_flicker": temporal_flicker, "motion_smoothness": motion_smoothness}


def clips_of(folder):
    clips = [next(Sampling(SHORT, "first").clips(file)) for file in open_folder(folder)]
    return np.stack(clips).astype(np.float32) / 255


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two real and two generated videos of 12 frames, 48 x 64."""
    root = tmp_path_factory.mktemp("pairs")
    return tuple(write_videos(root / name, ["a.mp4", "b.mp4"], height=48, width=64) for name in ("real", "generated"))


@pytest.fixture(scope="module")
def scored(folders, tmp_path_factory):
    fetch("lpips_alex")
    real, generated = folders
    request = Request(real, generated, (*PAIRED, *SINGLE), SHORT)
    return score_folders(request, tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("name", [*PAIRED, *SINGLE])
def test_a_folder_scores_as_its_clips_do(scored, folders, name):
    real, generated = map(clips_of, folders)
    expected = PAIRED[name](real, generated) if name in PAIRED else SINGLE[name](generated)
    rows = scored.per_clip.filter(metric=name)
    np.testing.assert_allclose(rows["value"], expected.per_clip, rtol=1e-6)
    score = scored.scores[name]
    assert score.value == pytest.approx(float(expected))
    assert score.stderr == pytest.approx(expected.stderr)
    assert score.name == expected.name == METRICS[name].label
    assert score.weights == expected.weights == (TABLE["lpips_alex"].sha256 if name == "lpips" else None)


def test_clips_of_one_file_are_no_independent_evidence():
    files, values = ["a", "a", "a", "b", "c", "c"], [1.0, 1.2, 1.1, 3.0, 2.0, 2.4]
    found = finite_mean(pl.DataFrame({"file": files, "value": values}))
    mean, interval = clustered_mean(values, files)
    assert found.value == pytest.approx(mean)
    assert found.stderr * stats.t.isf(0.025, 2) == pytest.approx((interval.high - interval.low) / 2)
    assert finite_mean(pl.DataFrame({"file": ["a", "a"], "value": [1.0, 2.0]})).stderr is None


def test_every_metric_of_clips_has_its_measure():
    known = {**OF_CLIPS, **OF_PAIRS, **OF_TEXTS}
    wanted = {name for name, metric in METRICS.items() if not metric.set_metric}
    of_runs = {"toy_clip_score", "camera_horizontal", "camera_zoom", "camera_static", *OF_ORBITS}
    assert wanted - of_runs == set(known)
    assert {name for name, metric in METRICS.items() if metric.paired} == {*OF_PAIRS, *OF_ORBITS}
