from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from svd_core.data.latents import encode_clips, encode_images, read_encoded
from svd_core.data.shards import read_window
from svd_core.data.windows import read_clip_table, to_pixels, to_unit_range
from svd_core.encoders.text import BagOfWords
from svd_core.models.autoencoder import PatchAutoencoder, train_autoencoder
from svd_core.settings import AutoencoderSettings, EncodeSettings


@pytest.fixture(scope="module")
def autoencoder(image_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("autoencoder")
    train_autoencoder(AutoencoderSettings(steps=0), image_corpus, out)
    return out


@pytest.fixture(scope="module")
def encoded(curated: Path, autoencoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("encoded")
    encode_clips(EncodeSettings(text_dim=8), curated, autoencoder, out)
    return out


def test_every_clip_is_encoded_in_the_order_of_the_table(curated: Path, autoencoder: Path, encoded: Path) -> None:
    clips, table = read_encoded(encoded), read_clip_table(curated)
    assert clips.clip_ids == table["clip_id"].to_list()
    assert len(clips) == 12
    assert clips.latents.shape == (12, 3, 12, 4, 4)
    assert clips.fps.tolist() == [10.0] * 12
    row = table.row(7, named=True)
    window = torch.from_numpy(read_window(curated / row["shard"], row["offset"], row["size"])).permute(0, 3, 1, 2)
    expected = PatchAutoencoder.load(autoencoder).encode(to_unit_range(window))
    torch.testing.assert_close(clips.latents[7].float(), expected, rtol=1e-3, atol=1e-3)


def test_texts_are_the_three_captions_in_order(encoded: Path) -> None:
    expected = BagOfWords(8).encode(["a ring", "moving up", "a ring moves up"])
    torch.testing.assert_close(read_encoded(encoded).text[3].float(), expected, rtol=1e-3, atol=1e-3)


def test_images_are_clips_of_one_frame_with_one_caption(image_corpus: Path, autoencoder: Path, tmp_path: Path) -> None:
    encode_images(EncodeSettings(text_dim=8), image_corpus, autoencoder, tmp_path)
    images = read_encoded(tmp_path)
    assert images.latents.shape == (40, 1, 12, 4, 4) and len(set(images.clip_ids)) == 40
    pixels = load_file(image_corpus / "images.safetensors")["images"]
    expected = PatchAutoencoder.load(autoencoder).encode(to_unit_range(pixels))
    torch.testing.assert_close(images.latents[:, 0].float(), expected, rtol=1e-3, atol=1e-3)
    for wording in range(3):
        text = BagOfWords(8).encode([f"ring {number}" for number in range(40)])
        torch.testing.assert_close(images.text[:, wording].float(), text, rtol=1e-3, atol=1e-3)


def test_pixels_survive_the_unit_range() -> None:
    pixels = torch.from_numpy(np.arange(256, dtype=np.uint8))
    assert torch.equal(to_pixels(to_unit_range(pixels)), pixels)
    assert to_pixels(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_clips_are_averaged_down_before_they_are_encoded(curated: Path, autoencoder: Path, tmp_path: Path) -> None:
    encode_clips(EncodeSettings(text_dim=8, resolution=8), curated, autoencoder, tmp_path)
    clips, row = read_encoded(tmp_path), read_clip_table(curated).row(7, named=True)
    assert clips.latents.shape == (12, 3, 12, 2, 2)
    window = to_unit_range(torch.from_numpy(read_window(curated / row["shard"], row["offset"], row["size"])))
    small = window.unflatten(1, (8, 2)).unflatten(3, (8, 2)).mean((2, 4)).permute(0, 3, 1, 2)
    expected = PatchAutoencoder.load(autoencoder).encode(small)
    torch.testing.assert_close(clips.latents[7].float(), expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="images of side 16 do not reduce to side 12"):
        encode_clips(EncodeSettings(resolution=12), curated, autoencoder, tmp_path)
    assert "resolution" not in EncodeSettings().model_dump()
