import shutil
from dataclasses import replace

import numpy as np
import pytest
from drawn_videos import moving_square, write_videos

from bench.folders import Sampling, check_alike, open_folder
from bench.metrics.protocols import PROTOCOLS
from svd_core.data.video import Video, VideoError

PROTOCOL = replace(PROTOCOLS["unterthiner"], frames=4)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return open_folder(write_videos(tmp_path_factory.mktemp("one") / "v", ["x.mp4"], frames=24))[0]


def pictures(file):
    with Video(file.path) as video:
        return np.stack([frame.image for frame in video]).transpose(0, 3, 1, 2)


def sampled(file, **changes):
    fps, size, start = changes.pop("fps", None), changes.pop("size", None), changes.pop("start", "first")
    return list(Sampling(replace(PROTOCOL, **changes), start, fps, size).clips(file))


def test_a_folder_is_read_by_name_with_what_its_headers_say(folders):
    files = open_folder(folders[0])
    assert [file.name for file in files] == ["a.mp4", "b.mp4", "c.mp4", "deep/d.mp4"]
    assert {(file.frames, file.fps, file.height, file.width) for file in files} == {(12, 8.0, 32, 48)}
    assert len({file.sha256 for file in files}) == 4


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [[0, 1, 2, 3]]),
        ({"stride": 3}, [[0, 3, 6, 9]]),
        ({"start": "centre"}, [[10, 11, 12, 13]]),
        ({"clips_per_video": 2}, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ({"clips_per_video": 0, "frames": 9}, [list(range(9)), list(range(9, 18))]),
        ({"clips_per_video": 0, "frames": 4, "stride": 5}, [[0, 5, 10, 15]]),
        ({"fps": 4.0}, [[0, 2, 4, 6]]),
        ({"fps": 16.0}, [[0, 0, 1, 2]]),
        ({"fps": 4.0, "stride": 2, "clips_per_video": 1}, [[0, 4, 8, 12]]),
    ],
)
def test_clips_are_the_frames_that_the_protocol_names(file, changes, expected):
    whole = pictures(file)
    clips = sampled(file, **changes)
    assert len(clips) == len(expected)
    for clip, frames in zip(clips, expected, strict=True):
        assert clip.dtype == np.uint8
        np.testing.assert_array_equal(clip, whole[frames])


def test_a_random_place_depends_on_content_alone(file, tmp_path):
    shutil.copy(file.path, tmp_path / "other name.mp4")
    (copy,) = open_folder(tmp_path)
    np.testing.assert_array_equal(sampled(file, start="random"), sampled(copy, start="random"))
    places = {
        Sampling(PROTOCOL, "random").starts(replace(file, sha256=f"{digest:064x}"))[0]
        for digest in range(0, 16**64, 16**62)
    }
    assert min(places) >= 0 and max(places) <= 20 and len(places) > 5


def test_frames_are_resized_only_if_asked(file):
    assert sampled(file, size=(16, 24))[0].shape == (4, 3, 16, 24)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"frames": 25},
            r"x.mp4: is too short: 24 frames, and protocol 'unterthiner' needs 25 \(25 frames, stride 1\)",
        ),
        ({"stride": 8}, "needs 25"),
        ({"clips_per_video": 7}, r"needs 28 \(7 clips of 4 frames"),
        ({"fps": 1.0}, "3 frames at 1 fps"),
        ({"clips_per_video": 0, "frames": 30}, "needs 30"),
    ],
)
def test_too_short_videos_are_named(file, changes, message):
    with pytest.raises(VideoError, match=message):
        sampled(file, **changes)


def test_mixed_rates_and_sizes_are_refused_unless_resampled(tmp_path):
    write_videos(tmp_path / "a", ["x.mp4"])
    write_videos(tmp_path / "b", ["y.mp4"], fps=12)
    write_videos(tmp_path / "c", ["z.mp4"], height=48)
    a, b, c = (open_folder(tmp_path / name) for name in "abc")
    sampling = Sampling(PROTOCOL, "first")
    check_alike((a, a), sampling)
    with pytest.raises(VideoError, match=r"y.mp4: has 12 frames a second, .*x.mp4 has 8: give --fps"):
        check_alike((a, b), sampling)
    check_alike((a, b), replace(sampling, fps=8.0))
    with pytest.raises(VideoError, match=r"z.mp4: is 48x48, .*x.mp4 is 32x48 \(height x width\): give --size"):
        check_alike((a, c), sampling)
    check_alike((a, c), replace(sampling, size=(32, 32)))
    check_alike((a, c), replace(sampling, protocol=PROTOCOLS["ucf101-zero-shot"]))


def test_folders_without_videos_are_refused(tmp_path):
    with pytest.raises(ValueError, match="nowhere is no folder"):
        open_folder(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"holds no videos \(.mp4"):
        open_folder(tmp_path)


def test_files_that_are_no_videos_are_named(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video" * 100)
    with pytest.raises(VideoError, match=r"broken.mp4: cannot be opened"):
        open_folder(tmp_path)


def test_memory_holds_one_clip(file, monkeypatch):
    """The second clip is decoded only when it is asked for."""
    clips = Sampling(replace(PROTOCOL, clips_per_video=0), "first").clips(file)
    np.testing.assert_array_equal(next(clips), pictures(file)[:4])
    assert moving_square(0).shape == (12, 32, 48, 3)
    clips.close()
