"""
How fast scoring is: the Fréchet step, I3D's features, where the time of `ablate score` goes, and what memory it takes.

Seconds are CPU seconds of one thread, but for memory and GPU.
"""

import subprocess
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from bench.features import ENCODERS
from bench.folder_score import Request, score_folders
from bench.metrics.frechet import frechet_distance
from bench.metrics.protocols import Protocol
from bench.metrics.videos import ClipEncoder
from bench.performance.alternating import against
from bench.performance.goals import goal
from bench.performance.plain_i3d import plain_i3d
from svd_core.data.video import write_h264
from svd_core.encoders.i3d import I3D
from svd_core.encoders.weights import fetch

pytestmark = pytest.mark.benchmark(timer=process_time)
D = 2048
FRAMES = 16


def with_sqrtm(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """As pytorch-fid and clean-fid do it."""
    sigma_x, sigma_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(sigma_x @ sigma_y).real
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(sigma_x + sigma_y) - 2 * np.trace(root))


def with_torchmetrics(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """As `FrechetInceptionDistance.compute` does it, in float64, from the covariances on."""
    moments = [(rows.mean(0), rows.T.cov()) for rows in map(torch.from_numpy, (x, y))]
    return float(_compute_fid(moments[0][0], moments[0][1], moments[1][0], moments[1][1]))


def test_i3d_features(benchmark: Any) -> None:
    path = fetch("i3d_k400")
    clip = torch.rand(FRAMES, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    network, weights = I3D.load(path), load_file(path)

    @torch.inference_mode()
    def port() -> Tensor:
        frames = F.interpolate(clip, (224, 224), mode="bilinear", align_corners=False) * 2 - 1
        return plain_i3d(weights, frames.transpose(0, 1)[None])

    against(benchmark, lambda: network.features(clip[None]), {"plain eager port": port}, rounds=5, timer=process_time)
    times = benchmark.extra_info["plain eager port"]["times_ours"]
    goal(benchmark, "times the speed of a plain eager port", times, at_least=1.2)
    benchmark.extra_info["features a second"] = 1 / benchmark.stats.stats.median


def test_share_of_time_in_forwards(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch("i3d_k400")
    rng = np.random.default_rng(0)
    for side in ("real", "generated"):
        (tmp_path / side).mkdir()
        for number in range(8):
            noise = rng.integers(0, 256, (FRAMES, 16, 16, 3), np.uint8).repeat(16, 1).repeat(16, 2)
            write_h264(tmp_path / side / f"{number}.mp4", noise, fps=8)
    inside = [0.0]
    make = ENCODERS["i3d_k400"]

    def watched(protocol: Protocol) -> ClipEncoder:
        encode = make(protocol)

        def encode_and_count(clip: Tensor) -> Tensor:
            started = process_time()
            features = encode(clip)
            inside[0] += process_time() - started
            return features

        return encode_and_count

    monkeypatch.setitem(ENCODERS, "i3d_k400", watched)
    request = Request(tmp_path / "real", tmp_path / "generated", ("fvd", "kvd"))
    benchmark.pedantic(score_folders, (request, tmp_path / "cache"), rounds=1, iterations=1)
    goal(benchmark, "share of time in forwards", inside[0] / benchmark.stats.stats.median, at_least=0.9)
    started = process_time()
    score_folders(request, tmp_path / "cache")
    benchmark.extra_info["seconds with features kept"] = process_time() - started


MEASURE = """
import sys
from pathlib import Path
from bench.folder_score import Request, score_folders
from bench.metrics.protocols import PROTOCOLS
from svd_core.memory import peak_bytes
root = Path(sys.argv[1])
protocol = PROTOCOLS["stylegan-v"].but(None, None, 0)
score_folders(Request(root, root, ("fd_vgg16", "psnr"), protocol), root / sys.argv[2])
print(peak_bytes() / 2**20)
"""


@pytest.mark.benchmark(timer=perf_counter)
def test_memory_of_large_sets(benchmark: Any, tmp_path: Path) -> None:
    """Peak memory of a process of its own that scores a folder, and of one whose folder has four times the clips."""
    fetch("vgg16")
    picture = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)

    def peak(clips: int) -> float:
        for number in range(clips // 16):
            write_h264(tmp_path / f"{number}.mp4", np.roll(picture, number, 1).repeat(16 * FRAMES, 0), fps=8)
        command = [sys.executable, "-c", MEASURE, str(tmp_path), f"cache-{clips}"]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    peaks = {64: peak(64), 256: benchmark.pedantic(peak, (256,), rounds=1, iterations=1)}
    added = (256 - 64) * FRAMES * picture.nbytes / 2**20
    benchmark.extra_info["peak MiB"] = {f"{clips} clips": mebibytes for clips, mebibytes in peaks.items()}
    benchmark.extra_info["MiB more for each MiB of more pixels"] = (peaks[256] - peaks[64]) / added


@pytest.mark.benchmark(timer=perf_counter)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_i3d_features_on_a_gpu(benchmark: Any) -> None:
    network = I3D.load(fetch("i3d_k400")).cuda()
    clip = torch.rand(1, FRAMES, 3, 224, 224, device="cuda")

    def encode() -> None:
        network.features(clip)
        torch.cuda.synchronize()

    benchmark.pedantic(encode, rounds=200, iterations=1, warmup_rounds=5)
    benchmark.extra_info["clips a second"] = 1 / benchmark.stats.stats.median
    benchmark.extra_info["device"] = torch.cuda.get_device_name()


@pytest.mark.parametrize(("n", "rounds"), [(256, 1), (10_000, 3)])
def test_frechet_step(benchmark: Any, n: int, rounds: int) -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(D, D)) * np.linspace(1, 0.01, D) / np.sqrt(D)
    x, y = rng.normal(size=(n, D)) @ mixing, rng.normal(size=(n, D)) @ mixing + 0.01
    peers = {"scipy sqrtm": lambda: with_sqrtm(x, y), "torchmetrics": lambda: with_torchmetrics(x, y)}
    against(benchmark, lambda: frechet_distance(x, y), peers, rounds=rounds, timer=process_time)
    for peer, least in zip(peers, (100, 50) if n < D else (1, 1), strict=True):
        goal(benchmark, f"times the speed of {peer}", benchmark.extra_info[peer]["times_ours"], at_least=least)
    if n < D:  # where accuracy is hard to come by
        selves = {"ours": frechet_distance, "scipy sqrtm": with_sqrtm, "torchmetrics": with_torchmetrics}
        benchmark.extra_info["distance of x to itself"] = {name: measure(x, x) for name, measure in selves.items()}
