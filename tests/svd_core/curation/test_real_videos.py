"""Cuts of real videos. The right answers were read off the frames by eye."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from svd_core.curation.clips import curate_video
from svd_core.curation.listing import list_videos
from svd_core.curation.settings import VideoCurationSettings
from svd_core.encoders.weights import fetch

BIKES = [30, 76, 137, 187, 242]
OPENCV_DOC = Path("/usr/share/doc/opencv-doc")
needs_opencv_doc = pytest.mark.skipif(not OPENCV_DOC.exists(), reason="Debian's opencv-doc is not installed")


def transitions(path: Path, folder: Path, **settings: object) -> list[tuple[int, str]]:
    chosen = VideoCurationSettings(**{"min_clip_s": 0.3, **settings})  # type: ignore[arg-type]
    (video,) = list_videos(str(path))
    curated = curate_video(chosen, video, folder, beat=lambda: None)
    assert pl.Series([row["error"] for row in curated.rows]).null_count(), curated.rows
    return [(int(str(t["frame"])), str(t["kind"])) for t in curated.transitions]


def test_every_cut_of_bikes_is_found_at_its_frame_and_no_other(tmp_path: Path) -> None:
    """Among them one from a bus's roof to a street; cars that pass close by the camera from frame 83 on are none."""
    assert transitions(fetch("bikes"), tmp_path) == [(frame, "cut") for frame in BIKES]


@pytest.mark.parametrize("name", ["bigbuckbunny", "carphone_pristine", "carphone_distorted"])
def test_single_shots_have_no_cut(name: str, tmp_path: Path) -> None:
    assert transitions(fetch(name), tmp_path) == []


@pytest.mark.slow
def test_the_network_agrees(tmp_path: Path) -> None:
    fetch("transnetv2")
    assert transitions(fetch("bikes"), tmp_path, refine="transnetv2") == [(frame, "cut") for frame in BIKES]


@needs_opencv_doc
def test_a_film_scene_in_an_avi(tmp_path: Path) -> None:
    """MPEG-4 with B-frames, whose times of showing an AVI does not know; begins with a black frame."""
    film = OPENCV_DOC / "examples" / "data" / "Megamind.avi"
    assert transitions(film, tmp_path) == [(0, "fade"), (98, "cut"), (154, "cut"), (200, "cut")]


@needs_opencv_doc
@pytest.mark.parametrize("name", ["examples/data/vtest.avi", "examples/data/tree.avi", "opencv4/html/cup.mp4.gz"])
def test_long_takes_have_no_cut(name: str, tmp_path: Path) -> None:
    path = OPENCV_DOC / name
    if path.suffix == ".gz":
        path = tmp_path / path.stem
        path.write_bytes(gzip.decompress((OPENCV_DOC / name).read_bytes()))
    assert transitions(path, tmp_path) == []
