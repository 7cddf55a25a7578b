import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from svd_core.data.windows import read_clip_table, read_windows, to_unit_range
from svd_core.models.autoencoder import PatchAutoencoder, patch_statistics, psnr, train_autoencoder
from svd_core.settings import AutoencoderSettings


@pytest.fixture(scope="module")
def trained(curated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("autoencoder")
    train_autoencoder(AutoencoderSettings(steps=20, batch_size=16), curated, out)
    return out


def frames(curated: Path) -> torch.Tensor:
    clips = read_clip_table(curated)
    return to_unit_range(torch.cat(list(read_windows(curated, clips, batch_size=5))).flatten(0, 1))


def test_latents_have_unit_variance_and_the_size_of_the_patch_grid(curated: Path, trained: Path) -> None:
    latents = PatchAutoencoder.load(trained).encode(frames(curated))
    assert latents.shape[1:] == (8, 4, 4)
    assert latents.std().item() == pytest.approx(1, abs=0.1)
    assert latents.mean().abs().item() < 0.1


def test_training_the_decoder_beats_the_inverse_pca(curated: Path, trained: Path, tmp_path: Path) -> None:
    train_autoencoder(AutoencoderSettings(steps=0), curated, tmp_path)
    plain, decoded = (json.loads((folder / "metrics.json").read_text())["psnr_db"] for folder in (tmp_path, trained))
    assert decoded > plain > 15


def test_as_many_channels_as_values_lose_nothing(curated: Path) -> None:
    model = PatchAutoencoder(patch=2, channels=12)
    windows = torch.cat(list(read_windows(curated, read_clip_table(curated), batch_size=5)))
    model.fit_basis(*patch_statistics(windows, 2))
    assert psnr(model, frames(curated)) > 60


def test_pca_is_that_of_numpy(curated: Path) -> None:
    windows = torch.cat(list(read_windows(curated, read_clip_table(curated), batch_size=5)))
    mean, covariance = patch_statistics(windows, 4)
    pixels = frames(curated).reshape(-1, 3, 4, 4, 4, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 48).double().numpy()
    np.testing.assert_allclose(mean, pixels.mean(0), atol=1e-5)
    np.testing.assert_allclose(covariance, np.cov(pixels.T, bias=True), atol=1e-4)


def test_the_same_settings_give_the_same_bytes(curated: Path, trained: Path, tmp_path: Path) -> None:
    train_autoencoder(AutoencoderSettings(steps=20, batch_size=16), curated, tmp_path)
    for name in ("model.safetensors", "config.json", "metrics.json"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


def test_images_that_do_not_fit_the_patches_are_refused(trained: Path) -> None:
    with pytest.raises(ValueError, match=r"multiples of 4; got \(1, 3, 16, 18\)"):
        PatchAutoencoder.load(trained).encode(torch.zeros(1, 3, 16, 18))
    with pytest.raises(ValueError, match="at most 12 channels; got 13"):
        PatchAutoencoder(patch=2, channels=13)


def test_a_table_without_windows_is_refused(tmp_path: Path) -> None:
    table = {"clip_id": ["a"], "error": ["unreadable"], "shard": [None]}
    pl.DataFrame(table).write_parquet(tmp_path / "clips.parquet")
    with pytest.raises(ValueError, match="no clip has a training window"):
        train_autoencoder(AutoencoderSettings(steps=0), tmp_path, tmp_path)
