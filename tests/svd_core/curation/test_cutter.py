from collections.abc import Iterator
from pathlib import Path

import av
import drawn
import numpy as np
import odd_files
import pytest

from svd_core.curation.cuts import Cascade
from svd_core.curation.cutter import Cut, Cutter, inward
from svd_core.curation.scan import Stretch, stretches
from svd_core.data.video import Video, VideoError


def scan(path: Path, max_s: float = 30, at_keyframes: bool = True) -> list[Stretch]:
    with Video(path) as video:
        return list(stretches(video, Cascade(video.fps), max_s=max_s, trim_s=0.1, at_keyframes=at_keyframes))


def copies(path: Path, folder: Path) -> Iterator[tuple[Stretch, Cut]]:
    cutter = Cutter(path)
    for number, stretch in enumerate(scan(path)):
        span = inward(stretch)
        assert span is not None
        yield stretch, cutter.copy(stretch, *span, folder / str(number))
    cutter.close()


def decoded(path: Path) -> list[tuple[float, np.ndarray]]:
    with Video(path) as video:
        return [(float(frame.pts * video.time_base), frame.image) for frame in video]


def cut_of(path: Path, start: float, end: float) -> list[tuple[float, np.ndarray]]:
    return [(time - start, image) for time, image in decoded(path) if start <= time < end]


def assert_same(clip: Path, frames: list[tuple[float, np.ndarray]]) -> None:
    """The very pictures of the source, at the very times."""
    found = decoded(clip)
    assert [time for time, _ in found] == pytest.approx([time for time, _ in frames], abs=1e-9)
    for (_, image), (_, expected) in zip(found, frames, strict=True):
        np.testing.assert_array_equal(image, expected)


def test_copies_hold_the_sources_frames_to_the_bit(tmp_path: Path) -> None:
    path = odd_files.with_cut(tmp_path / "a.mp4")
    for (stretch, cut), start in zip(copies(path, tmp_path), (0, 2.4), strict=True):
        assert (cut.num_frames, cut.end_pts - cut.start_pts) == (24, stretch.end_pts - stretch.pts[0])
        assert_same(cut.path, cut_of(path, start, start + 2.4))


def test_cut_points_move_inward_to_keyframes(tmp_path: Path) -> None:
    """Keyframes every 10 frames and none at the cut, at frame 24: the clips are [0, 20) and [30, 48)."""
    path = odd_files.with_cut(tmp_path / "a.mp4", options={"x264-params": "keyint=10:min-keyint=10:scenecut=0"})
    (_, first), (_, second) = copies(path, tmp_path)
    assert_same(first.path, cut_of(path, 0, 2.0))
    assert_same(second.path, cut_of(path, 3.0, 4.8))
    assert (first.num_frames, second.num_frames) == (20, 18)


OPEN_GOP = "keyint=10:min-keyint=10:scenecut=0:bframes=3:open-gop=1"


def test_frames_that_an_open_gop_shares_are_left_out(tmp_path: Path) -> None:
    options = {"x265-params": f"{OPEN_GOP}:log-level=none:ctu=16:pools=1"}
    path = odd_files.with_cut(tmp_path / "a.mp4", codec="libx265", options=options)
    for _, cut in copies(path, tmp_path):
        with Video(path) as video:
            start, end = (float(pts * video.time_base) for pts in (cut.start_pts, cut.end_pts))
        frames = cut_of(path, start, end)
        assert len(frames) == cut.num_frames
        assert_same(cut.path, frames)


def test_nothing_begins_at_an_h264_keyframe_that_refers_back(tmp_path: Path) -> None:
    path = odd_files.with_cut(tmp_path / "a.mp4", options={"x264-params": OPEN_GOP})
    first, second = scan(path)
    assert (first.keyframes, inward(first), inward(second)) == ([0], None, None)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_variable_frame_rates_keep_their_times(tmp_path: Path, name: str) -> None:
    path = odd_files.variable_rate(tmp_path / name)
    first, second = (cut for _, cut in copies(path, tmp_path))
    assert_same(first.path, cut_of(path, 0, 1.25))
    assert_same(second.path, cut_of(path, 1.25, 99))
    cutter = Cutter(path)
    again = cutter.encode(scan(path)[1], tmp_path / "again")
    cutter.close()
    assert [time for time, _ in decoded(again.path)] == [time for time, _ in decoded(second.path)]


def test_encoding_keeps_every_frame_between_the_cuts(tmp_path: Path) -> None:
    """No keyframe but the first: nothing could be copied of the second shot."""
    path = odd_files.with_cut(tmp_path / "a.mp4", options={"x264-params": "keyint=250:scenecut=0"})
    stretch = scan(path, at_keyframes=False)[1]
    assert inward(stretch) is None
    cutter = Cutter(path)
    cut = cutter.encode(stretch, tmp_path / "clip")
    cutter.close()
    frames = decoded(cut.path)
    assert (len(frames), cut.num_frames) == (24, 24)
    errors = [
        np.abs(image - shown.astype(float)).mean() for (_, image), shown in zip(frames, drawn.shot(1), strict=True)
    ]
    assert max(errors) < 5


@pytest.mark.parametrize("kind", ["copy", "encode"])
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, kind: str) -> None:
    path = odd_files.with_cut(tmp_path / "a.mp4")
    made = []
    for attempt in range(2):
        cutter, stretch = Cutter(path), scan(path)[1]
        stem = tmp_path / f"{attempt}"
        span = inward(stretch)
        assert span
        cut = cutter.copy(stretch, *span, stem) if kind == "copy" else cutter.encode(stretch, stem)
        made.append(cut.path.read_bytes())
    assert made[0] == made[1]


def test_a_rotated_video_stands_upright(tmp_path: Path) -> None:
    path = odd_files.rotated(tmp_path / "a.mp4")
    upright = np.rot90(drawn.shot(0, 1)[0])
    stretch = scan(path)[0]
    assert np.abs(stretch.looks[0].image.astype(float) - upright).mean() < 5
    _, cut = next(copies(path, tmp_path))
    with Video(cut.path) as video:
        next(iter(video))
        assert video.shown_size == (96, 144)
    cutter = Cutter(path)
    encoded = decoded(cutter.encode(stretch, tmp_path / "clip").path)[0][1]
    cutter.close()
    assert np.abs(encoded.astype(float) - upright).mean() < 5


def test_odd_sizes_lose_their_last_row_and_column_when_encoded(tmp_path: Path) -> None:
    path = odd_files.odd_sized(tmp_path / "a.mp4")
    cutter = Cutter(path)
    assert decoded(cutter.encode(scan(path)[0], tmp_path / "clip").path)[0][1].shape == (96, 144, 3)


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [
        ("mpeg4", "yuv420p", "mp4"),
        ("mjpeg", "yuvj420p", "mp4"),
        ("prores_ks", "yuv422p10le", "mov"),
        ("libvpx", "yuv420p", "mkv"),
    ],
)
def test_a_codec_goes_into_the_first_container_that_holds_it(
    tmp_path: Path, codec: str, pixels: str, suffix: str
) -> None:
    path = odd_files.with_cut(tmp_path / "a.mkv", codec=codec, pixels=pixels)
    for _, cut in copies(path, tmp_path):
        assert cut.path.suffix == f".{suffix}"
        assert len(decoded(cut.path)) == cut.num_frames


def test_what_cannot_be_copied_is_an_error(tmp_path: Path) -> None:
    path = odd_files.with_cut(tmp_path / "a.mp4")
    cutter, stretch = Cutter(path), scan(path)[0]
    with pytest.raises(VideoError, match="cannot be copied from 7"):
        cutter.copy(stretch, 7, stretch.end_pts, tmp_path / "clip")
    cutter.close()


def test_the_whole_thing_is_one_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = odd_files.with_cut(tmp_path / "a.mp4")
    opened = []
    monkeypatch.setattr(av, "open", lambda *a, original=av.open, **k: opened.append(a[0]) or original(*a, **k))
    scan(path)
    assert opened == [str(path)]
