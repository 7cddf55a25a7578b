from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from svd_core.settings import ImagePretrainingSettings, NetworkSettings, VideoPretrainingSettings
from svd_core.training import loop, stages
from svd_core.training.stages import pretrain_images

TINY = NetworkSettings(block_out_channels=(32,), attention_levels=(False,), num_attention_heads=(2,))
CLIPS = 10


@pytest.fixture(scope="session")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random latents of ten clips of three frames."""
    return random_latents(tmp_path_factory.mktemp("latents"), side=4)


@pytest.fixture(scope="session")
def larger_latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many clips of twice the side."""
    return random_latents(tmp_path_factory.mktemp("larger_latents"), side=8)


def random_latents(folder: Path, side: int) -> Path:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "latents": torch.randn(CLIPS, 3, 4, side, side, generator=generator).half(),
        "text": torch.randn(CLIPS, 3, 5, 8, generator=generator).half(),
    }
    save_file(tensors, folder / "latents.safetensors")
    motion = [None, *[0.1 * row for row in range(1, CLIPS)]]
    index = {"clip_id": [f"clip{row}" for row in range(CLIPS)], "fps": [8.0 + row for row in range(CLIPS)]}
    pl.DataFrame({**index, "motion": motion}).write_parquet(folder / "index.parquet")
    return folder


@pytest.fixture(scope="session")
def subset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven of the ten clips."""
    folder = tmp_path_factory.mktemp("subset")
    pl.DataFrame({"clip_id": [f"clip{row}" for row in range(CLIPS) if row % 4]}).write_parquet(
        folder / "subset.parquet"
    )
    return folder


@pytest.fixture(scope="session")
def images(latents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stage I artifact after two steps."""
    out = tmp_path_factory.mktemp("images")
    pretrain_images(ImagePretrainingSettings(samples=8, batch_size=4, warmup_samples=0, network=TINY), latents, out)
    return out


@pytest.fixture(scope="session")
def video_settings() -> VideoPretrainingSettings:
    """Thirty steps: one line of metrics and some steps after it."""
    return VideoPretrainingSettings(samples=60, batch_size=2, warmup_samples=10)


class Interruption(Exception):
    """Stands for a killed process."""


@pytest.fixture
def interrupted_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """What is trained within stops before the step whose samples begin there; every step leaves a checkpoint."""
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    draw_batch = stages.draw_batch

    @contextmanager
    def interrupted(stop: int) -> Iterator[None]:
        def interrupt(*args: Any) -> object:
            if args[-1].start == stop:
                raise Interruption
            return draw_batch(*args)

        with monkeypatch.context() as patched, pytest.raises(Interruption):
            patched.setattr(stages, "draw_batch", interrupt)
            yield

    return interrupted
