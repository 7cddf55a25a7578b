import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from svd_core.data.video import Video, VideoError, training_window, write_h264


def two_shots(frames_each: int = 15) -> list[NDArray[np.uint8]]:
    """A white disc that moves over blue, then over orange: RGB (96, 128, 3)."""
    images = []
    for index in range(2 * frames_each):
        image = np.full((96, 128, 3), (30, 60, 160) if index < frames_each else (240, 150, 40), np.uint8)
        cv2.circle(image, (30 + 2 * index, 48), 20, (255, 255, 255), -1, cv2.LINE_AA)
        images.append(image)
    return images


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "two shots.mp4"
    assert write_h264(path, two_shots(), 10) == 30
    return path


def read(path: Path) -> int:
    with Video(path) as video:
        return sum(1 for _ in video)


def test_what_is_written_is_read(video: Path) -> None:
    with Video(video) as opened:
        frames = list(opened)
        assert (opened.width, opened.height, opened.fps) == (128, 96, 10)
        times = [float(frame.pts * opened.time_base) for frame in frames]
    assert times == pytest.approx([index / 10 for index in range(30)])
    errors = [
        np.abs(frame.image - image.astype(float)).mean() for frame, image in zip(frames, two_shots(), strict=True)
    ]
    assert max(errors) < 4
    keyframes = [index for index, frame in enumerate(frames) if frame.keyframe]
    assert keyframes == [0, 15], "a keyframe where the scene changes"


def test_equal_images_give_equal_bytes(video: Path, tmp_path: Path) -> None:
    write_h264(tmp_path / "again.mp4", iter(two_shots()), 10)
    assert (tmp_path / "again.mp4").read_bytes() == video.read_bytes()


def test_an_interrupted_writer_leaves_no_video(tmp_path: Path) -> None:
    def images():
        yield from two_shots()[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_h264(tmp_path / "interrupted.mp4", images(), 10)
    assert not list(tmp_path.glob("*.mp4"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "empty file"), (b"shopping list\n" * 50, "cannot be opened"), (bytes(4096), "cannot be opened")],
    ids=["empty", "text", "zeros"],
)
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "odd 'name'.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=complaint) as raised:
        read(path)
    assert str(path) in str(raised.value)
    assert raised.value.path == path


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"nowhere\.mp4: .*No such file"):
        read(tmp_path / "nowhere.mp4")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9])
def test_a_truncated_file_is_refused(video: Path, share: float) -> None:
    whole = video.read_bytes()
    video.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(VideoError, match="two shots"):
        read(video)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_file_never_passes_for_a_short_one(video: Path, data: st.DataObject) -> None:
    """Even where the list of frames comes first in the file, as in videos made for streaming."""
    with av.open(str(video)) as source, av.open(str(video) + ".fast", "w", "mp4", {"movflags": "faststart"}) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    whole = Path(str(video) + ".fast").read_bytes()
    cut = video.with_name("cut.mp4")
    cut.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    try:
        assert read(cut) == 30
    except VideoError as error:
        assert str(cut) in str(error)


def test_frames_lost_in_the_middle_are_noticed(video: Path) -> None:
    damaged = bytearray(video.read_bytes())
    begin = damaged.find(b"mdat")
    middle = begin + (damaged.find(b"moov") - begin) // 2
    damaged[middle : middle + 400] = bytes(400)
    video.write_bytes(damaged)
    with pytest.raises(VideoError, match=r"stops decoding after frame \d+|damaged at frame|ends early"):
        read(video)


def test_a_file_with_sound_alone_has_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="no video stream"):
        read(path)


def test_the_window_is_the_middle() -> None:
    images = [np.full((64, 64, 3), index, np.uint8) for index in range(21)]
    window = training_window(images, 11, 16)
    assert window.shape == (11, 16, 16, 3)
    assert window[:, 0, 0, 0].tolist() == list(range(5, 16))


@given(count=st.integers(1, 6), extra=st.integers(0, 5), height=st.integers(8, 40), width=st.integers(8, 40))
def test_the_window_shows_the_centre_square_at_its_mean(count: int, extra: int, height: int, width: int) -> None:
    rng = np.random.default_rng([count, extra, height, width])
    images = list(rng.integers(0, 256, (count + extra, height, width, 3), dtype=np.uint8))
    window = training_window(images, count, 8)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    centre = np.stack(images)[extra // 2 : extra // 2 + count, top : top + side, left : left + side]
    assert window.mean() == pytest.approx(centre.mean(), abs=1)


def test_too_short_a_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="window of 3 frames does not fit into a clip of 2"):
        training_window([np.zeros((8, 8, 3), np.uint8)] * 2, 3, 8)


def test_the_corpus_and_the_reader_need_no_torch() -> None:
    """Each rendering process would pay seconds for it."""
    probe = "import sys, svd_core.data.video, svd_core.data.toy_lvd; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
