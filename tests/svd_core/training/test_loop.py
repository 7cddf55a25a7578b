import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from svd_core.data.latents import EncodedClips, read_encoded
from svd_core.diffusion.preconditioning import loss
from svd_core.settings import VideoPretrainingSettings
from svd_core.training import loop
from svd_core.training.batches import Batch, draw_batch
from svd_core.training.execution import Execution
from svd_core.training.loop import NonFiniteLoss, train
from svd_core.training.pace import Pace, Peak
from svd_core.training.state import TrainingState, checkpoints


class Pointwise(nn.Module):
    """A network small enough to train in no time."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(x.movedim(2, -1)).movedim(-1, 2)


def run(settings: VideoPretrainingSettings, clips: EncodedClips, out: Path, **options: Any) -> TrainingState:
    out.mkdir(exist_ok=True)
    network = options.pop("network", None) or Pointwise()
    state = TrainingState.start(network, lr=settings.lr, weight_decay=settings.weight_decay)

    def objective(called: nn.Module, batch: Batch) -> torch.Tensor:
        return loss(lambda x, c_noise: called(x), batch.clean, batch.noise, batch.sigma)

    def batch_at(samples: range) -> Batch:
        return draw_batch(settings, "pretrain_videos", clips, samples)

    train(settings, state, objective, batch_at, out, **options)
    return state


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_learns(latents: Path, tmp_path: Path) -> None:
    settings = VideoPretrainingSettings(samples=1600, batch_size=8, lr=1e-2, warmup_samples=0)
    clips = read_encoded(latents)
    clips.latents.fill_(1.0)
    run(settings, clips, tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 8
    assert losses[-1] < 0.8 * losses[0]


def test_how_often_it_checkpoints_changes_nothing(
    latents: Path, video_settings: VideoPretrainingSettings, tmp_path: Path
) -> None:
    clips = read_encoded(latents)
    run(video_settings, clips, tmp_path / "often", checkpoint_every_s=0.0)
    run(video_settings, clips, tmp_path / "never", checkpoint_every_s=1e9)
    assert contents(tmp_path / "often") == contents(tmp_path / "never")
    assert set(contents(tmp_path / "often")) == {
        "ema.safetensors",
        "metrics.jsonl",
        "state/000000000060.safetensors",
    }


def test_a_log_that_lost_its_end_is_said(
    latents: Path, video_settings: VideoPretrainingSettings, tmp_path: Path
) -> None:
    clips = read_encoded(latents)
    run(video_settings, clips, tmp_path)
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"metrics\.jsonl has 0 bytes, and the checkpoint knows of \d+"):
        run(video_settings, clips, tmp_path)


def test_who_looks_on_changes_nothing(latents: Path, video_settings: VideoPretrainingSettings, tmp_path: Path) -> None:
    clips = read_encoded(latents)
    run(video_settings, clips, tmp_path / "alone")
    (tmp_path / "watched").mkdir()
    pace = Pace(tmp_path / "watched" / "timing.jsonl", Execution(), None, Peak(None, "a test"))
    run(video_settings, clips, tmp_path / "watched", watch=pace)
    found = contents(tmp_path / "watched")
    timing = [json.loads(line) for line in found.pop("timing.jsonl").splitlines()]
    assert found == contents(tmp_path / "alone")
    lines = [json.loads(line) for line in found["metrics.jsonl"].splitlines()]
    assert [line["samples"] for line in timing[1:]] == [line["samples"] for line in lines] == [50]
    assert timing[1]["samples_per_second"] > 0


def test_large_checkpoints_come_less_often(
    latents: Path, video_settings: VideoPretrainingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes a second and a checkpoint ten, of a clock that nothing else moves."""
    now = 0.0
    saved: list[int] = []

    def save(state: TrainingState, *where: object, **how: object) -> None:
        nonlocal now
        now += 10
        saved.append(state.steps)

    def clip_gradients(*of: object) -> float:
        nonlocal now
        now += 1
        return 1.0

    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 0.2)
    monkeypatch.setattr(loop.time, "monotonic", lambda: now)
    monkeypatch.setattr(TrainingState, "save", save)
    monkeypatch.setattr(loop, "clip_gradients", clip_gradients)
    settings = video_settings.model_copy(update={"samples": 2 * 120})
    run(settings, read_encoded(latents), tmp_path, checkpoint_every_s=20.0)
    assert saved == [21, 72, 120]


def test_a_disk_that_fails_behind_a_step_fails_the_training_and_keeps_the_last_whole_checkpoint(
    latents: Path, video_settings: VideoPretrainingSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def failing(descriptor: int) -> None:
        if f"{4 * video_settings.batch_size:012d}.half" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output error"):
        run(video_settings, read_encoded(latents), tmp_path, checkpoint_every_s=0)
    assert checkpoints(tmp_path / "state")[-1].stem == f"{3 * video_settings.batch_size:012d}"
    monkeypatch.undo()
    resumed = run(video_settings, read_encoded(latents), tmp_path)
    undisturbed = run(video_settings, read_encoded(latents), tmp_path / "undisturbed")
    for name, value in undisturbed.ema.items():
        assert torch.equal(resumed.ema[name], value)


def test_the_learning_rate_warms_up_and_then_stays(latents: Path, tmp_path: Path) -> None:
    clips = read_encoded(latents)
    for samples, share in ((2, 0.2), (6, 0.6), (10, 1.0), (20, 1.0)):
        settings = VideoPretrainingSettings(samples=samples, batch_size=2, warmup_samples=10)
        state = run(settings, clips, tmp_path / str(samples))
        assert state.optimizer.param_groups[0]["lr"] == pytest.approx(settings.lr * share)


def test_gradients_are_clipped(latents: Path, tmp_path: Path) -> None:
    settings = VideoPretrainingSettings(samples=2, batch_size=2, warmup_samples=0, clip_grad_norm=1e-3)
    state = run(settings, read_encoded(latents), tmp_path)
    gradient = torch.cat([parameter.grad.flatten() for parameter in state.network.parameters()])
    assert gradient.norm().item() == pytest.approx(1e-3, rel=1e-2)
    assert state.pending[0][1] > 1e-2  # what is logged is the norm before clipping


def test_losses_are_told_apart_by_noise_level(latents: Path, tmp_path: Path) -> None:
    """The means by bin, weighted by how many samples the recorded draws put there, are the mean loss."""
    settings = VideoPretrainingSettings(samples=200, batch_size=4)
    clips = read_encoded(latents)
    run(settings, clips, tmp_path)
    batches = [draw_batch(settings, "pretrain_videos", clips, range(first, first + 4)) for first in range(0, 200, 4)]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["samples"] for line in lines] == [100, 200]
    for number, line in enumerate(lines):
        levels = torch.cat([batch.sigma for batch in batches[25 * number : 25 * (number + 1)]]).log()
        counts = torch.histogram(levels, torch.tensor([-99.0, -2, -1, 0, 1, 2, 99])).hist.tolist()
        assert list(line["loss_by_sigma"]) == ["..-2", "-2..-1", "-1..0", "0..1", "1..2", "2.."]
        means = [mean if mean is not None else 0 for mean in line["loss_by_sigma"].values()]
        assert [mean > 0 for mean in means] == [count > 0 for count in counts]
        assert sum(map(math.prod, zip(means, counts, strict=True))) / 100 == pytest.approx(line["loss"], rel=1e-5)


def test_a_loss_that_is_not_finite_stops_and_names_the_clips(
    latents: Path, video_settings: VideoPretrainingSettings, tmp_path: Path
) -> None:
    clips = read_encoded(latents)
    run(video_settings.model_copy(update={"samples": 10}), clips, tmp_path)
    last_good = contents(tmp_path / "state")
    clips.latents[3] = math.nan
    with pytest.raises(NonFiniteLoss, match=r"loss is nan, .* after \d+ samples; clips of this batch: .*clip3"):
        run(video_settings, clips, tmp_path, checkpoint_every_s=1e9)
    assert contents(tmp_path / "state") == last_good
    assert checkpoints(tmp_path / "state")


@pytest.mark.parametrize("samples", [12, 60], ids=["in the last step", "on the way"])
def test_a_gradient_that_is_not_finite_stops_too(
    samples: int, latents: Path, video_settings: VideoPretrainingSettings, tmp_path: Path
) -> None:
    """The loss is finite, so that nothing but the weights would show it."""
    clips = read_encoded(latents)
    run(video_settings.model_copy(update={"samples": 10}), clips, tmp_path)
    last_good = contents(tmp_path / "state")
    steep = Pointwise()
    steep.mix.weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(NonFiniteLoss, match=r"loss is \d.*, the gradient's norm nan after 10 samples; clips of this"):
        run(video_settings.model_copy(update={"samples": samples}), clips, tmp_path, network=steep)
    assert contents(tmp_path / "state") == last_good
