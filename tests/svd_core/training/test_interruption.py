"""Being asked to stop: at a step, with a checkpoint of it, and without a trace in the result."""

from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from svd_core.data.latents import read_encoded
from svd_core.settings import VideoPretrainingSettings
from svd_core.training import interruption
from svd_core.training.stages import pretrain_videos
from svd_core.training.state import checkpoints


@pytest.fixture(autouse=True)
def _withdrawn():
    yield
    interruption.withdraw()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_stopped_again_and_again_it_ends_with_the_same_bits(
    latents: Path, subset: Path, images: Path, video_settings: VideoPretrainingSettings, tmp_path: Path
) -> None:
    for name in ("stopped", "undisturbed"):
        (tmp_path / name).mkdir()
    pretrain_videos(video_settings, subset, latents, images, tmp_path / "undisturbed")

    def at(samples: int):
        def progress(done: int, total: int, **figures: float) -> None:
            if done == samples:
                interruption.request()

        return progress

    out = tmp_path / "stopped"
    interruption.request()
    with pytest.raises(interruption.Interrupted, match="after 0 of 60 samples"):
        pretrain_videos(video_settings, subset, latents, images, out)
    interruption.withdraw()
    with pytest.raises(interruption.Interrupted, match="after 50 of 60 samples"):
        pretrain_videos(video_settings, subset, latents, images, out, progress=at(50))
    assert checkpoints(out / "state")[-1].stem == "000000000050"
    interruption.withdraw()
    pretrain_videos(video_settings, subset, latents, images, out)
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert len(read_encoded(latents)) == 10


def _ask(rank: int, port: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    answers = []
    for step in range(4):
        if (rank, step) == (1, 2):
            interruption.request()
        answers.append(interruption.requested())
    Path(folder, str(rank)).write_text(str(answers))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_get_the_same_answer_at_the_same_step(tmp_path: Path) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_ask, args=(port, str(tmp_path)), nprocs=2)
    assert [(tmp_path / str(rank)).read_text() for rank in (0, 1)] == ["[False, False, True, True]"] * 2
