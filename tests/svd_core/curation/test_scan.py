from pathlib import Path

import drawn
import odd_files
import pytest

from svd_core.curation import scan
from svd_core.curation.cuts import Cascade
from svd_core.curation.scan import Stretch, stretches
from svd_core.data.video import Video, VideoError


def scanned(path: Path, *, max_s: float = 30, trim_s: float = 0.1, at_keyframes: bool = True) -> list[Stretch]:
    with Video(path) as video:
        return list(stretches(video, Cascade(video.fps), max_s=max_s, trim_s=trim_s, at_keyframes=at_keyframes))


def frames(path: Path, **kwargs: float) -> list[tuple[int, int]]:
    """First and last frame index of every stretch, in a video of 10 frames/s."""
    found = scanned(path, **kwargs)  # type: ignore[arg-type]
    with Video(path) as video:
        a_frame = 1 / (10 * video.time_base)
    assert all(stretch.end_pts - stretch.pts[-1] >= a_frame for stretch in found)
    return [(round(stretch.pts[0] / a_frame), round(stretch.pts[-1] / a_frame)) for stretch in found]


def test_stretches_lie_between_the_cuts(tmp_path: Path) -> None:
    path = odd_files.with_cut(tmp_path / "a.mp4")
    assert frames(path) == [(0, 23), (24, 47)]
    first, second = scanned(path)
    assert (first.end_pts, second.keyframes) == (second.pts[0], [second.pts[0], second.end_pts])


def test_fades_and_dissolves_are_trimmed_with_a_margin(tmp_path: Path) -> None:
    path = odd_files.write(tmp_path / "a.mp4", drawn.fade(drawn.shot(20), drawn.shot(21), 6))
    (_, end), (start, _) = frames(path)
    assert 23 - 6 - 1 - 1 <= end <= 23 - 6
    assert 24 + 6 <= start <= 24 + 6 + 1 + 1
    (_, without), _ = frames(path, trim_s=0)
    (_, more), _ = frames(path, trim_s=0.5)
    assert (without - end, end - more) == (1, 4)


@pytest.mark.parametrize("at_keyframes", [True, False])
def test_long_shots_are_split(tmp_path: Path, at_keyframes: bool) -> None:
    """12 s with a keyframe every 0.7 s, in pieces of at most 2 s: every 20 frames, or every 14."""
    options = {"x264-params": "keyint=7:min-keyint=7:scenecut=0"}
    path = odd_files.write(tmp_path / "a.mp4", drawn.shot(0, 120, speed=0.2), options=options)
    length = 14 if at_keyframes else 20
    expected = [(start, min(start + length, 120) - 1) for start in range(0, 120, length)]
    assert frames(path, max_s=2, at_keyframes=at_keyframes) == expected
    assert all(stretch.keyframes[0] == stretch.pts[0] for stretch in scanned(path, max_s=2)), "copies lose nothing"


def test_pieces_are_measured_in_time_not_in_frames(tmp_path: Path) -> None:
    path = odd_files.variable_rate(tmp_path / "a.mp4")
    with Video(path) as video:
        time_base = video.time_base
    found = scanned(path, max_s=1, at_keyframes=False)
    assert all((stretch.end_pts - stretch.pts[0]) * time_base <= 1 for stretch in found)
    assert sum(len(stretch.pts) for stretch in found) == 48


def test_pictures_are_taken_twice_a_second(tmp_path: Path) -> None:
    path = odd_files.write(tmp_path / "a.mp4", drawn.shot(0, 48, height=512, width=640, speed=0.5))
    (stretch,) = scanned(path)
    times = [look.pts / stretch.end_pts * 4.8 for look in stretch.looks]
    assert times == pytest.approx([0.5 * index for index in range(10)])
    assert stretch.looks[0].image.shape == (256, 320, 3)
    start, end = stretch.looks[2].pts, stretch.looks[5].pts
    assert [image is stretch.looks[2 + i].image for i, image in enumerate(stretch.seen(start, end))] == [True] * 3
    assert stretch.seen(start + 1, start + 2) == []


def test_of_a_very_long_video_little_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an hour of one shot."""
    path = odd_files.very_long(tmp_path / "a.mp4")
    cascade, most = Cascade(1.0), 0
    held: list[scan._Held] = []
    monkeypatch.setattr(scan, "_Held", lambda *a, original=scan._Held: held.append(original(*a)) or held[0])

    def beat() -> None:
        nonlocal most
        most = max([most, len(cascade.seen), len(held[0].pts), len(held[0].looks)])

    with Video(path) as video:
        found = list(stretches(video, cascade, max_s=30, trim_s=0.1, at_keyframes=True, beat=beat))
        assert (len(found), found[-1].end_pts) == (60, round(1_800 / video.time_base))
        assert len(video.keyframes) < 10
    assert len(held) == 1
    assert 30 < most < 40


def test_a_video_that_changes_its_size_is_refused(tmp_path: Path) -> None:
    first = odd_files.write(tmp_path / "a.ts", drawn.shot(0, 12), container="mpegts")
    other = odd_files.write(tmp_path / "b.ts", drawn.shot(0, 12, height=48, width=72), container="mpegts")
    first.write_bytes(first.read_bytes() + other.read_bytes())
    with pytest.raises(VideoError, match="changes its size at frame 12"):
        scanned(first)
