import numpy as np
from voting import frames

from bench.preference.clips import Clips, damaged, enlarged
from bench.preference.ledger import DAMAGED, REAL
from svd_core.data.video import Video


def test_a_clip_looks_like_its_frames(tmp_path):
    smooth = np.linspace(0, 255, 10 * 3 * 32 * 32).reshape(10, 3, 32, 32).astype(np.uint8)
    path = Clips(lambda *_: (smooth, 8), tmp_path).path("arm", 0, 3)
    with Video(path) as video:
        seen = np.stack([frame.image for frame in video])
        assert video.fps == 8
    assert seen.shape == (10, 256, 256, 3)
    assert np.abs(seen.astype(float) - enlarged(smooth).transpose(0, 2, 3, 1)).mean() < 2


def test_names_and_times_tell_nothing(tmp_path):
    clips = Clips(frames, tmp_path)
    paths = [clips.path(arm, 0, 0) for arm in ("a", "b")]
    assert clips.path("a", 0, 0) == paths[0]
    assert {path.stat().st_mtime for path in paths} == {0}
    assert len({len(path.name) for path in paths}) == 1
    other = Clips(frames, tmp_path / "other")
    (tmp_path / "other").mkdir()
    assert other.path("a", 0, 0).name not in {path.name for path in paths}


def test_enlarging_repeats_pixels_and_makes_sides_even():
    odd = np.arange(3 * 5 * 301).reshape(1, 3, 5, 301).astype(np.uint8)
    large = enlarged(odd)
    assert large.shape == (1, 3, 260, 15652)
    assert (large[0, :, ::52, ::52] == odd[0]).all()
    assert enlarged(np.zeros((1, 3, 257, 301), np.uint8)).shape == (1, 3, 258, 302)


def test_a_damaged_clip_is_the_same_each_time_and_bears_no_likeness(tmp_path):
    clip = np.kron(np.eye(8, dtype=np.uint8) * 255, np.ones((3, 10, 1, 4, 4), np.uint8)).transpose(1, 0, 2, 3, 4)[
        :, :, 0
    ]
    spoilt = damaged(clip)
    assert (spoilt == damaged(clip)).all()
    assert spoilt.shape == clip.shape
    assert np.abs(spoilt.astype(float) - clip).mean() > 40
    clips = Clips(lambda side, seed, number: (clip, 8), tmp_path)
    assert clips.path(REAL, None, 0) != clips.path(DAMAGED, None, 0)
