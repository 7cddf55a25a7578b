import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import drawn
import numpy as np
import polars as pl
import pytest
from safetensors.torch import save_file

from svd_core.curation import pipeline
from svd_core.curation.pipeline import curate
from svd_core.curation.settings import CurationSettings
from svd_core.curation.source import clip_id, source_id
from svd_core.curation.table import SCHEMA
from svd_core.data.shards import read_window
from svd_core.data.video import write_h264
from svd_core.encoders.toy_clip import ToyClip

SETTINGS = CurationSettings(frames=8, resolution=16)
WORDS = ["red", "blue", "circle", "moves", "right"]


@pytest.fixture(scope="module")
def clip_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained encoder: its cosines mean nothing, but are always the same."""
    folder = tmp_path_factory.mktemp("toy_clip")
    pipeline.torch.manual_seed(0)
    save_file(ToyClip(WORDS).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"words": WORDS}))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources of a cut and a fade, and four that must be rejected."""
    videos = tmp_path_factory.mktemp("corpus") / "videos"
    videos.mkdir()
    for index in range(3):
        first, second, third = (drawn.shot(3 * index + shot) for shot in range(3))
        write_h264(videos / f"{index:06d}.mp4", drawn.cut(first, drawn.fade(second, third)), fps=10)
        (videos / f"{index:06d}.json").write_text(json.dumps({"captions": captions()}))
    whole = (videos / "000000.mp4").read_bytes()
    (videos / "empty.mp4").write_bytes(b"")
    (videos / "noise.avi").write_bytes(np.random.default_rng(0).bytes(4000))
    (videos / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (videos / "odd captions.mp4").write_bytes(whole)
    (videos / "odd captions.json").write_text('{"captions": [{"start_s": "soon"}]}')
    return videos.parent


def captions() -> list[dict[str, object]]:
    """The first shot and the last one have captions; nobody says a word about the one between."""
    words = {"image": "a red circle", "video": "a circle moves right", "merged": "a red circle moves right"}
    return [{"start_s": 0.0, "end_s": 2.4, **words}, {"start_s": 5.0, "end_s": 7.2, **words}]


@pytest.fixture(scope="module")
def curated(corpus: Path, clip_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("curated")
    curate(SETTINGS, corpus, clip_encoder, out)
    return out


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_shot_becomes_a_clip_with_its_scores(curated: Path) -> None:
    clips = pl.read_parquet(curated / "clips.parquet")
    assert clips.schema == pl.Schema(SCHEMA)
    clips = clips.filter(pl.col("error").is_null())
    assert clips["source"].to_list() == [f"{index:06d}.mp4" for index in range(3) for _ in range(3)]
    assert clips["start_s"].to_list()[:2] == [0.0, 2.4]
    assert clips["end_s"][0] == 2.4
    assert (clips["start_pts"][1], clips["time_base"][1]) == (round(2.4 * 10240), "1/10240")
    for score in ("motion", "text_area", "aesthetics"):
        assert clips[score].null_count() == 0
    assert clips["alignment"].null_count() == clips["caption"].null_count() == 3  # the shots without captions
    assert clips["clip_id"].n_unique() == 9


def test_rejected_sources_stay_with_their_reason(curated: Path) -> None:
    clips = pl.read_parquet(curated / "clips.parquet").filter(pl.col("error").is_not_null())
    reasons = dict(clips.select("source", "error").iter_rows())
    assert set(reasons) == {"empty.mp4", "noise.avi", "truncated.mp4", "odd captions.mp4"}
    assert "empty file" in reasons["empty.mp4"]
    assert "start_s" in reasons["odd captions.mp4"]
    assert clips["shard"].null_count() == clips.height


def test_transitions_are_listed(curated: Path) -> None:
    transitions = pl.read_parquet(curated / "transitions.parquet")
    assert transitions.filter(pl.col("source") == "000001.mp4").rows() == [
        ("000001.mp4", 24, "cut"),
        ("000001.mp4", 48, "fade"),
    ]


def test_windows_lie_where_the_table_says(curated: Path) -> None:
    clips = pl.read_parquet(curated / "clips.parquet").filter(pl.col("error").is_null())
    for shard, offset, size in clips.select("shard", "offset", "size").iter_rows():
        assert read_window(curated / shard, offset, size).shape == (8, 16, 16, 3)
    first = read_window(curated / clips["shard"][0], clips["offset"][0], clips["size"][0])
    expected = drawn.shot(0)[12, 48 - 48 : 48 + 48, 72 - 48 : 72 + 48].mean(axis=(0, 1))
    np.testing.assert_allclose(first[4].mean(axis=(0, 1)), expected, atol=4)


def test_nothing_but_the_artifact_is_left(curated: Path) -> None:
    assert set(digests(curated)) == {"clips.parquet", "transitions.parquet", "shards/000000.tar"}


def test_an_interrupted_run_is_continued_and_gives_the_same_bytes(
    curated: Path, corpus: Path, clip_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "SOURCES_PER_PART", 1)
    reports: list[int] = []

    def stop_after_four(done: int, total: int, **figures: float) -> None:
        reports.append(done)
        if done == 4 and reports.count(4) == 1 and reports[0] == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        curate(SETTINGS, corpus, clip_encoder, tmp_path, progress=stop_after_four)
    assert not (tmp_path / "clips.parquet").exists()
    reports.clear()
    curate(SETTINGS, corpus, clip_encoder, tmp_path, progress=lambda done, total, **figures: reports.append(done))
    assert reports == [4, 5, 6, 7]
    assert digests(tmp_path) == digests(curated)


def wait_until_gone(group: int) -> None:
    """Workers notice that their parent was killed, and end."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    pytest.fail("workers outlived their parent by a minute")


@pytest.mark.slow
def test_killed_with_two_workers_and_started_again_gives_the_same_bytes(
    curated: Path, corpus: Path, clip_encoder: Path, tmp_path: Path
) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "from pathlib import Path\n"
        "from svd_core.curation import pipeline\n"
        "from svd_core.curation.settings import CurationSettings\n"
        "if __name__ == '__main__':\n"
        "    pipeline.SOURCES_PER_PART = 1\n"
        f"    pipeline.curate(CurationSettings(frames=8, resolution=16), Path({str(corpus)!r}),"
        f" Path({str(clip_encoder)!r}), Path({str(tmp_path / 'out')!r}), workers=2)\n"
    )
    (tmp_path / "out").mkdir()
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, start_new_session=True) as run:
        while not list((tmp_path / "out" / "parts").glob("*.clips.parquet")) and run.poll() is None:
            time.sleep(0.02)
        run.kill()
    wait_until_gone(run.pid)
    assert not (tmp_path / "out" / "clips.parquet").exists()
    subprocess.run(command, check=True)
    assert digests(tmp_path / "out") == digests(curated)


def test_a_corpus_without_videos_is_refused(tmp_path: Path, clip_encoder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no videos in"):
        curate(SETTINGS, tmp_path, clip_encoder, tmp_path)


@pytest.mark.parametrize(
    ("source", "name"),
    [("000123.mp4", "000123"), ("a.b c.mp4", "a%2Eb%20c"), ("a.mkv", "a%2Emkv"), ("ümlaut.mp4", "%C3%BCmlaut")],
)
def test_ids_hold_no_dots_and_tell_sources_apart(source: str, name: str) -> None:
    assert source_id(source) == name
    assert clip_id(source, 2.4) == f"{name}-0002400"
