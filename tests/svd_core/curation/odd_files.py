"""Video files of every kind that curation has to bear: one writer, and one function for each odd case."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import drawn
import numpy as np


def write(
    path: Path,
    images: Sequence[np.ndarray],
    fps: int = 10,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    pts: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    container: str | None = None,
    rotation: int = 0,
) -> Path:
    """RGB images (H, W, 3) as a video; `pts` are in milliseconds, by default every 1 / fps seconds."""
    tb = Fraction(1, 1000) if pts is not None else Fraction(1, fps)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=fps, options=dict(options or {}))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.thread_count = pixels, 1
        stream.time_base = stream.codec_context.time_base = tb
        if rotation:
            stream.set_display_rotation(rotation)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = index if pts is None else pts[index], tb
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def two_shots(frames: int = 24, **kwargs: float) -> np.ndarray:
    return drawn.cut(drawn.shot(0, frames, **kwargs), drawn.shot(1, frames, **kwargs))


def with_cut(path: Path, **kwargs: object) -> Path:
    """Two shots of 2.4 s, with a keyframe where x264 sees the cut."""
    return write(path, two_shots(), **kwargs)  # type: ignore[arg-type]


def truncated(path: Path) -> Path:
    whole = with_cut(path).read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    return path


def damaged(path: Path) -> Path:
    """Zeros over 400 bytes in the middle of the coded frames."""
    data = bytearray(with_cut(path).read_bytes())
    begin = data.find(b"mdat")
    middle = begin + (data.find(b"moov") - begin) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def without_frames(path: Path) -> Path:
    """A whole header that announces a video stream, and nothing in it."""
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        file.start_encoding()
    return path


def sound_only(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def text(path: Path) -> Path:
    path.write_text("shopping list\n" * 50)
    return path


def picture(path: Path) -> Path:
    """A photograph that somebody called a video."""
    import cv2

    path.write_bytes(cv2.imencode(".png", drawn.shot(0, 1)[0])[1].tobytes())
    return path


def one_frame(path: Path) -> Path:
    return write(path, drawn.shot(0, 1))


def huge(path: Path) -> Path:
    """One flat frame of 1100 x 1100, which the tests' settings take for huge."""
    image = np.zeros((1100, 1100, 3), np.uint8)
    return write(path, [image], codec="png", pixels="rgb24", container="mov")


def variable_rate(path: Path) -> Path:
    """The first shot at 20 frames/s, the second at 5 to 10."""
    times = [50 * index for index in range(24)]
    times += [times[-1] + 100 + 150 * index + (index % 2) * 50 for index in range(24)]
    return write(path, two_shots(), pts=times)


def rotated(path: Path) -> Path:
    """Filmed with the camera on its side: stored 96 rows by 144, shown upright as 144 rows by 96."""
    return with_cut(path, rotation=90)


def odd_sized(path: Path) -> Path:
    return write(path, drawn.shot(0, 24, height=97, width=145), pixels="yuv444p")


def ten_bit(path: Path) -> Path:
    return with_cut(path, pixels="yuv420p10le")


def very_long(path: Path) -> Path:
    """Half an hour of one shot at 1 frame/s: 1,800 frames of 16 x 16."""
    image = drawn.shot(0, 1, height=16, width=16)[0]
    options = {"preset": "ultrafast", "x264-params": "keyint=10:scenecut=0"}
    return write(path, [image] * 1_800, fps=1, options=options)
