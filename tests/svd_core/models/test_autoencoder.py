import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from svd_core.data.windows import to_unit_range
from svd_core.models.autoencoder import PatchAutoencoder, patch_statistics, psnr, train_autoencoder
from svd_core.settings import AutoencoderSettings


@pytest.fixture(scope="module")
def trained(image_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("autoencoder")
    train_autoencoder(AutoencoderSettings(steps=20, batch_size=16), image_corpus, out)
    return out


def pixels(image_corpus: Path) -> torch.Tensor:
    return to_unit_range(load_file(image_corpus / "images.safetensors")["images"])


def test_latents_have_unit_variance_and_the_size_of_the_patch_grid(image_corpus: Path, trained: Path) -> None:
    latents = PatchAutoencoder.load(trained).encode(pixels(image_corpus))
    assert latents.shape[1:] == (12, 4, 4)
    assert latents.std().item() == pytest.approx(1, abs=0.1)
    assert latents.mean().abs().item() < 0.1


def test_training_the_decoder_beats_the_inverse_pca(image_corpus: Path, trained: Path, tmp_path: Path) -> None:
    train_autoencoder(AutoencoderSettings(steps=0), image_corpus, tmp_path)
    plain, decoded = (json.loads((folder / "metrics.json").read_text())["psnr_db"] for folder in (tmp_path, trained))
    assert decoded > plain > 15


def test_as_many_channels_as_values_lose_nothing(image_corpus: Path) -> None:
    model = PatchAutoencoder(patch=2, channels=12)
    model.fit_basis(*patch_statistics(load_file(image_corpus / "images.safetensors")["images"], 2))
    assert psnr(model, pixels(image_corpus)) > 60


def test_pca_is_that_of_numpy(image_corpus: Path) -> None:
    mean, covariance = patch_statistics(load_file(image_corpus / "images.safetensors")["images"], 4)
    patches = pixels(image_corpus).reshape(-1, 3, 4, 4, 4, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 48).double().numpy()
    np.testing.assert_allclose(mean, patches.mean(0), atol=1e-5)
    np.testing.assert_allclose(covariance, np.cov(patches.T, bias=True), atol=1e-4)


def test_the_same_settings_give_the_same_bytes(image_corpus: Path, trained: Path, tmp_path: Path) -> None:
    train_autoencoder(AutoencoderSettings(steps=20, batch_size=16), image_corpus, tmp_path)
    for name in ("model.safetensors", "config.json", "metrics.json"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


def test_images_that_do_not_fit_the_patches_are_refused(trained: Path) -> None:
    with pytest.raises(ValueError, match=r"multiples of 4; got \(1, 3, 16, 18\)"):
        PatchAutoencoder.load(trained).encode(torch.zeros(1, 3, 16, 18))
    with pytest.raises(ValueError, match="at most 12 channels; got 13"):
        PatchAutoencoder(patch=2, channels=13)
