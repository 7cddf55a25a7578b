import os
import pickle

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from bench import metrics
from bench.metrics import frechet_distance, kernel_distance, psnr, temporal_flicker
from bench.metrics.accumulated import (
    ClipMean,
    FrechetDistance,
    FrechetInceptionDistance,
    FrechetVideoDistance,
    KernelDistance,
)
from svd_core.encoders.weights import MissingWeights, fetch

D = 12


def encode(clip):
    """A stand-in for a network: the clip's first twelve numbers."""
    return clip.flatten()[None, :D]


def clips(n, seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(n, 2, 3, 4, 4, generator=generator) * 0.5 + shift).clamp(0, 1)


def rows(videos):
    return videos.flatten(1)[:, :D]


def filled(metric, real, generated, batch):
    for name, videos in (("real", real), ("generated", generated)):
        for part in videos.split(batch):
            metric.update(part, real=name == "real")
    return metric


@pytest.mark.parametrize("n", [8, 40])
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_batches_of_any_size_give_the_functions_value(n, batch):
    real, generated = clips(n), clips(n + 5, seed=1, shift=0.3)
    features = rows(real), rows(generated)
    frechet = filled(FrechetDistance(encode, D), real, generated, batch).compute()
    kernel = filled(KernelDistance(encode), real, generated, batch).compute()
    assert frechet.item() == pytest.approx(frechet_distance(*features), rel=1e-9)
    assert kernel.item() == pytest.approx(kernel_distance(*features), rel=1e-9)
    assert frechet.dtype == torch.float64


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_every_clip_counts_once_in_a_mean(batch):
    a, b = clips(7), clips(7, seed=1)
    paired, single = ClipMean(psnr), ClipMean(temporal_flicker)
    for part in zip(a.split(batch), b.split(batch), strict=True):
        paired.update(*part)
        single.update(part[0])
    assert paired.compute().item() == pytest.approx(psnr(a, b), rel=1e-12)
    assert single.compute().item() == pytest.approx(temporal_flicker(a), rel=1e-12)


def test_states_of_two_metrics_merge():
    real, generated = clips(20), clips(20, seed=1, shift=0.3)
    left, right = (
        filled(FrechetDistance(encode, D), a, b, 4) for a, b in zip(real.chunk(2), generated.chunk(2), strict=True)
    )
    left.merge_state(right)
    assert left.compute().item() == pytest.approx(frechet_distance(rows(real), rows(generated)), rel=1e-9)


def test_reset_can_keep_the_real_set():
    real, generated = clips(20), clips(20, seed=1, shift=0.3)
    metric = filled(FrechetDistance(encode, D, reset_real_features=False), real, generated, 20)
    first = metric.compute()
    metric.reset()
    metric.update(generated, real=False)
    assert metric.compute() == first
    forgetful = filled(FrechetDistance(encode, D), real, generated, 20)
    forgetful.reset()
    forgetful.update(generated, real=False)
    with pytest.raises(ValueError, match="at least two samples, got 0"):
        forgetful.compute()


def test_inputs_are_checked_as_everywhere():
    with pytest.raises(ValueError, match="generated: expected floats"):
        FrechetDistance(encode, D).update(torch.zeros(2, 2, 3, 4, 4, dtype=torch.uint8), real=False)


def test_video_distance_equals_fvd():
    fetch("i3d_k400")
    videos = torch.rand(2, 2, 9, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    metric = pickle.loads(pickle.dumps(FrechetVideoDistance(protocol="centre-crop")))  # noqa: S301
    for number, batch in enumerate(videos):
        metric.update(batch, real=number == 0)
    assert metric.compute().item() == pytest.approx(metrics.fvd(*videos, protocol="centre-crop"), rel=1e-9)


def test_missing_weights_are_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"inception-2015-12-05\.pt"):
        FrechetInceptionDistance()


def test_the_public_names_are_all_there():
    assert all(hasattr(metrics, name) for name in metrics.__all__)
    assert metrics.FrechetVideoDistance is FrechetVideoDistance
    with pytest.raises(AttributeError, match="no attribute 'FrechetAudioDistance'"):
        _ = metrics.FrechetAudioDistance


def on_one_rank(rank, world, folder, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE=str(world))
    dist.init_process_group("gloo")
    real, generated = clips(21), clips(20, seed=1, shift=0.3)
    values = [
        filled(metric, real[rank::world], generated[rank::world], 4).compute()
        for metric in (FrechetDistance(encode, D), KernelDistance(encode))
    ]
    torch.save(values, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_ranks_give_the_value_of_one_process(tmp_path, free_port):
    mp.spawn(on_one_rank, (2, tmp_path, free_port), nprocs=2)
    expected = [f(rows(clips(21)), rows(clips(20, seed=1, shift=0.3))) for f in (frechet_distance, kernel_distance)]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert [value.item() for value in found] == pytest.approx(expected, rel=1e-9)


@pytest.fixture
def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
