import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from ablations.cli import app
from ablations.errors import AblateError
from ablations.score import read_prompts, read_size
from svd_core.data.video import write_h264
from svd_core.encoders.weights import fetch


def wandering(seed):
    """Twelve frames, uint8 (T, 32, 48, 3), of a square that moves."""
    video = np.full((12, 32, 48, 3), 10 * seed, np.uint8)
    for t in range(12):
        video[t, 8:20, 2 * t + seed : 2 * t + seed + 12] = 200
    return video


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    fetch("vgg16")
    root = tmp_path_factory.mktemp("folders")
    for side, seeds in (("real", range(3)), ("generated", range(3, 6))):
        (root / side).mkdir()
        for seed in seeds:
            write_h264(root / side / f"{seed}.mp4", wandering(seed), fps=8)
    return root


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def score(folders, *options):
    sides = ["--real", str(folders / "real"), "--generated", str(folders / "generated")]
    return CliRunner().invoke(app, ["score", *sides, "--workers", "1", *options])


def test_it_prints_json_and_keeps_scores_and_per_clip_values(folders, tmp_path):
    done = score(
        folders, "--metrics", "fd_vgg16,dynamic_degree", "--frames", "9", "--json", "--out", str(tmp_path / "out")
    )
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "out" / "scores.json").read_text())
    assert printed["protocol"]["name"] == "stylegan-v (frames 9)"
    assert printed["scores"]["fd_vgg16"]["value"] > 0
    assert pl.read_parquet(tmp_path / "out" / "per_clip.parquet").height == 3


def test_it_prints_a_table_and_says_where_it_wrote(folders, store):
    done = score(folders, "--metrics", "fd_vgg16", "--frames", "9")
    assert done.exit_code == 0, done.output
    assert "FD[vgg16]" in done.stdout and "written to" in done.stdout
    (kept,) = (store / "scores").iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ["per_clip.parquet", "scores.json"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metrics", "fdv"], "did you mean 'fvd'"),
        (["--metrics", "fvd,fvd"], "named twice: fvd"),
        (["--protocol", "unterthine"], "did you mean 'unterthiner'"),
        (["--frames", "0"], "frames >= 1"),
        (["--size", "240"], "--size '240' is not HEIGHTxWIDTH"),
        (["--metrics", "fd_vgg16"], "is too short: 12 frames, and protocol 'stylegan-v' needs 16"),
        (["--metrics", "fd_vgg16", "--fps", "-3"], "--fps"),
        (["--metrics", "fd_vgg16", "--device", "abacus"], "abacus"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_words(folders, options, message):
    done = score(folders, *options)
    assert isinstance(done.exception, AblateError)
    assert message in str(done.exception)


def test_prompts_are_one_json_object(tmp_path):
    path = tmp_path / "prompts.json"
    path.write_text('{"a.mp4": "a ring"}')
    assert read_prompts(path) == {"a.mp4": "a ring"}
    for text in ('["a ring"]', '{"a.mp4": 3}', "{"):
        path.write_text(text)
        with pytest.raises(AblateError, match=r"prompts\.json"):
            read_prompts(path)
    with pytest.raises(AblateError, match="nowhere"):
        read_prompts(tmp_path / "nowhere")


def test_a_size_is_height_by_width():
    assert read_size("240x320") == (240, 320)
    for text in ("240", "0x3", "axb", "-1x2", "240X320"):
        with pytest.raises(AblateError, match="HEIGHTxWIDTH"):
            read_size(text)
