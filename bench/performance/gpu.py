"""Stable Video Diffusion at full size on one GPU: training, sampling and the encoders, beside diffusers and the card.

Skipped where there is no GPU. Networks have random weights, which cost what trained ones do; two of them with their
optimisers do not fit onto a card, so that ours and its peer run one after the other.
"""

import gc
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.performance.alternating import note_peer
from bench.performance.goals import goal
from svd_core.encoders import weights
from svd_core.encoders.i3d import I3D
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.tasks.generation import Conditions, solved
from svd_core.tasks.settings import GenerationSettings
from svd_core.training.batches import Batch
from svd_core.training.execution import Execution, autocast
from svd_core.training.loop import clip_gradients
from svd_core.training.objectives import objective_of
from svd_core.training.pace import flops_per_sample, peak
from svd_core.training.state import TrainingState

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("default"),
]
CUDA, HALF = torch.device("cuda"), torch.bfloat16
SIZES = [(14, 256, 384), (14, 320, 576), (14, 576, 1024), (25, 576, 1024)]
"""Frames, height and width in pixels of SVD's stages."""
TRAINED = SIZES[1]
COMPILED_CLIPS = 6
"""As many a step as an H200 holds with room to spare: to find it out would mean to compile several times."""
OBJECTIVE = objective_of("continuous", None, video=True)
ROUNDS = 4
Step = Callable[[], object]


def clear() -> None:
    """Give memory back to the card, and forget how much was in use."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


@pytest.fixture(autouse=True)
def _empty_card() -> None:
    clear()


def network_of(kind: type[nn.Module], frames: int = 14) -> Any:
    torch.manual_seed(0)
    with CUDA:
        return kind(in_channels=8, num_frames=frames).to(CUDA)


def batch_of(size: tuple[int, int, int], clips: int) -> Batch:
    """Synthetic latents of image-to-video."""
    frames, height, width = size
    draws = torch.Generator(CUDA).manual_seed(0)
    drawn = partial(torch.randn, device=CUDA, generator=draws)
    latents = (clips, frames, 4, height // 8, width // 8)
    ids = torch.tensor([[6.0, 127.0, 0.02]], device=CUDA).repeat(clips, 1)
    text, names = drawn(clips, 1, 1024), [f"clip{number}" for number in range(clips)]
    return Batch(drawn(latents), drawn(latents), drawn(clips).exp(), text, ids, names, drawn(latents))


def ours(size: tuple[int, int, int], clips: int, **how: bool) -> Step:
    """A step as a training takes it: forward, backward, clipping, optimiser, moving average."""
    execution = Execution(precision=HALF, device=CUDA, **how)  # type: ignore[arg-type]
    network = network_of(SpatioTemporalUNet, size[0])
    state = TrainingState.start(network, lr=1e-5, weight_decay=0.01, execution=execution)
    batch = batch_of(size, clips)

    def step() -> None:
        state.optimizer.zero_grad(set_to_none=True)
        execution.backward(state.called, OBJECTIVE, lambda samples: batch, range(clips))
        clip_gradients([*network.parameters()], 1.0)
        state.optimizer.step()
        state.update_ema(0.9999)

    return step


def plain(size: tuple[int, int, int], clips: int) -> Step:
    """The step of a plain loop: diffusers' class under autocast, AdamW and clipping as they come, no average."""
    network, batch = network_of(UNetSpatioTemporalConditionModel, size[0]), batch_of(size, clips)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)

    def step() -> None:
        with torch.autocast("cuda", HALF):
            losses = OBJECTIVE(network, batch)
        losses.mean().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds(step: Step, rounds: int = ROUNDS) -> float:
    """Mean of some calls after an untimed one."""
    step()
    torch.cuda.synchronize()
    started = perf_counter()
    for _ in range(rounds):
        step()
    torch.cuda.synchronize()
    return (perf_counter() - started) / rounds


def gibibytes() -> float:
    return torch.cuda.max_memory_allocated() / 2**30


def utilisation(size: tuple[int, int, int], clips_a_second: float) -> float:
    """MFU by the data sheet, FLOPs counted without recomputation."""
    flops = flops_per_sample(network_of(SpatioTemporalUNet, size[0]), OBJECTIVE, batch_of(size, 1))
    return clips_a_second * flops / (peak(CUDA, HALF).flops_per_second or float("nan"))


def twice(step: Step) -> None:
    """Untimed steps, which compile what is to be compiled. The first has no moments yet, and so less to hold."""
    step()
    step()


def fitting(make: Callable[[int], Step], clips: int) -> tuple[int, Step]:
    """The most clips a step, from `clips` down, that the card holds; and that step, which was taken twice."""
    while True:
        step = None  # the one that did not fit
        clear()
        try:
            step = make(clips)
            twice(step)
            return clips, step
        except torch.OutOfMemoryError:
            clips -= 1  # what the error held is free only after this


def timed(benchmark: Any, step: Step, rounds: int = ROUNDS, *, warm: bool = False) -> float:
    """Median seconds of a step, after untimed ones unless it is warm."""

    def whole() -> None:
        step()
        torch.cuda.synchronize()

    if not warm:
        twice(step)
    torch.cuda.synchronize()
    benchmark.pedantic(whole, rounds=rounds, iterations=1)
    benchmark.extra_info["device"] = torch.cuda.get_device_name()
    return float(benchmark.stats.stats.median)


def note_rate(benchmark: Any, what: str, step: Step, seconds_each: float) -> None:
    """Note how many TFLOP/s a step is, to be held against the card's matrix product in `test_limits`."""
    with FlopCounterMode(display=False) as counter:
        step()
    benchmark.extra_info[f"{what}, TFLOP/s"] = counter.get_total_flops() / seconds_each / 1e12


def test_limits(benchmark: Any) -> None:
    """What the card does at best: a large matrix product, and copying."""
    matrix = torch.randn(8192, 8192, device=CUDA, dtype=HALF)
    values = torch.empty(2**30, device=CUDA)
    other = torch.empty_like(values)
    copied = 2 * values.nbytes / seconds(lambda: other.copy_(values), 10)
    product = 2 * 8192**3 / timed(benchmark, lambda: matrix @ matrix, 20)
    benchmark.extra_info["bf16 matrix product, TFLOP/s"] = product / 1e12
    benchmark.extra_info["copy, TB/s read and written"] = copied / 1e12


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}x{size[2]}")
def test_one_clip(benchmark: Any, size: tuple[int, int, int]) -> None:
    """Training on one clip a step, not compiled; with recomputed activations where it does not fit otherwise."""
    for recomputing in (False, True):
        clear()
        try:
            rate = 1 / timed(benchmark, ours(size, 1, checkpointing=recomputing), rounds=2)
        except torch.OutOfMemoryError:
            continue  # what it held is free only from here on
        benchmark.extra_info["recomputed activations"] = recomputing
        benchmark.extra_info["clips a second"] = rate
        benchmark.extra_info["MFU"] = utilisation(size, rate)
        benchmark.extra_info["peak GiB"] = gibibytes()
        return
    benchmark.extra_info["reason"] = "does not fit onto the card"


@pytest.mark.parametrize("recomputing", [False, True], ids=["all activations kept", "activations recomputed"])
def test_the_largest_batch(benchmark: Any, recomputing: bool) -> None:
    """Predicted by the memory of two smaller ones, then tried, down from one more than that."""
    few, more = (8, 16) if recomputing else (2, 3)  # of fewer clips the optimiser's step takes most
    used = {}
    for clips in (few, more):
        clear()
        ours(TRAINED, clips, checkpointing=recomputing)()
        used[clips] = torch.cuda.max_memory_allocated()
    room = torch.cuda.get_device_properties(0).total_memory - used[few]
    most = few + int(room * (more - few) / (used[more] - used[few])) + 1
    clips, step = fitting(lambda clips: ours(TRAINED, clips, checkpointing=recomputing), most)
    rate = clips / timed(benchmark, step, rounds=1, warm=True)
    benchmark.extra_info["clips"] = clips
    benchmark.extra_info["clips a second"] = rate
    benchmark.extra_info["peak GiB"] = gibibytes()


def test_sampling(benchmark: Any) -> None:
    """Five steps with guidance at 14 x 576 x 1024, ours and diffusers' class in the same solver, without decoding."""
    batch = batch_of(SIZES[2], 1)
    given = Conditions(batch.text, batch.time_ids, batch.concat)

    @torch.inference_mode()
    def generate(network: nn.Module) -> None:
        with autocast(CUDA, HALF):
            solved(network, given, batch.noise, GenerationSettings(steps=5), None)

    theirs = seconds(partial(generate, network_of(UNetSpatioTemporalConditionModel).eval()), 2)
    mine = timed(benchmark, partial(generate, network_of(SpatioTemporalUNet).eval()), rounds=2)
    note_peer(benchmark, "diffusers' class", theirs)
    benchmark.extra_info["seconds a clip of 25 steps"] = 5 * mine
    note_rate(benchmark, "sampling", partial(generate, network_of(SpatioTemporalUNet).eval()), mine)


def test_decoding_and_encoding(benchmark: Any) -> None:
    """SVD's autoencoder on 14 frames of 320 x 576 in bf16."""
    with CUDA:
        model = AutoencoderKLTemporalDecoder(
            down_block_types=("DownEncoderBlock2D",) * 4, block_out_channels=(128, 256, 512, 512), layers_per_block=2
        )
    model = model.to(CUDA, HALF)
    frames, latents = (torch.randn(14, *shape, device=CUDA, dtype=HALF) for shape in ((3, 320, 576), (4, 40, 72)))
    with torch.inference_mode():
        encoding = seconds(lambda: model.encode(frames))
        decoding = timed(benchmark, lambda: model.decode(latents, num_frames=14))
        note_rate(benchmark, "encoding", lambda: model.encode(frames), encoding)
        note_rate(benchmark, "decoding", lambda: model.decode(latents, num_frames=14), decoding)
    benchmark.extra_info["frames encoded a second"] = 14 / encoding
    benchmark.extra_info["frames decoded a second"] = 14 / decoding


def test_optical_flow(benchmark: Any) -> None:
    """RAFT (large) on pairs of frames of 320 x 576 in float32."""
    from torchvision.models.optical_flow import raft_large

    network = raft_large(weights=None).to(CUDA).eval()
    pairs = torch.rand(2, 8, 3, 320, 576, device=CUDA) * 2 - 1
    with torch.inference_mode():
        taken = timed(benchmark, lambda: network(*pairs))
        note_rate(benchmark, "flow", lambda: network(*pairs), taken)
    benchmark.extra_info["pairs a second"] = 8 / taken


def test_i3d_features(benchmark: Any) -> None:
    """I3D's features of eight clips of 16 frames in float32, as scores are made of them."""
    network = I3D.load(weights.locate("i3d_k400")).to(CUDA)
    clips = torch.rand(8, 16, 3, 224, 224, device=CUDA)
    taken = timed(benchmark, lambda: network.features(clips))
    note_rate(benchmark, "features", lambda: network.features(clips), taken)
    benchmark.extra_info["clips a second"] = 8 / taken


def test_training(benchmark: Any) -> None:
    """The best that is to be had at 14 x 320 x 576, each with the clips that a card holds. Compiling takes minutes."""
    theirs, uncompiled = for_one(benchmark, "the plain loop", plain), for_one(benchmark, "ours, not compiled", ours)
    clear()
    mine = timed(benchmark, ours(TRAINED, COMPILED_CLIPS, compiled=True), rounds=6) / COMPILED_CLIPS
    benchmark.extra_info["clips a step"] = COMPILED_CLIPS
    benchmark.extra_info["peak GiB"] = gibibytes()
    note_peer(benchmark, "a plain loop of diffusers' class", theirs * COMPILED_CLIPS)
    note_peer(benchmark, "ours, not compiled", uncompiled * COMPILED_CLIPS)
    benchmark.extra_info["clips a second"] = 1 / mine
    clear()
    goal(benchmark, "MFU", utilisation(TRAINED, 1 / mine), at_least=0.45)
    goal(benchmark, "times the clips a second of a plain loop", theirs / mine, at_least=2)


def for_one(benchmark: Any, whose: str, make: Callable[[tuple[int, int, int], int], Step]) -> float:
    """Seconds a clip, with as many a step as fit, which is noted."""
    clips, step = fitting(partial(make, TRAINED), COMPILED_CLIPS - 1)
    benchmark.extra_info[f"clips a step, {whose}"] = clips
    return seconds(step) / clips
