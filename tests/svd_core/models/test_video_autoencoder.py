from pathlib import Path

import pytest
import torch

from svd_core.encoders.settings import AutoencoderKLSettings
from svd_core.models.video_autoencoder import VideoAutoencoder, WrongLatentScale, train_video_autoencoder


def pictures(count: int, seed: int) -> torch.Tensor:
    """Squares of one colour on another, uint8 (N, 3, 16, 16)."""
    draws = torch.Generator().manual_seed(seed)
    colours = torch.randint(256, (count, 2, 3, 1, 1), generator=draws, dtype=torch.uint8)
    images = colours[:, 0].repeat(1, 1, 16, 16)
    images[:, :, 4:12, 4:12] = colours[:, 1]
    return images


@pytest.mark.slow
def test_a_small_autoencoder_learns_colours_soon(tmp_path: Path) -> None:
    """Its 32 group norms lost them: each frame's mean colour was off by a third of what there is to know."""
    settings = AutoencoderKLSettings(block_out_channels=(64, 64), steps=150)
    train_video_autoencoder(settings, pictures(256, seed=0), tmp_path)
    autoencoder = VideoAutoencoder.load(tmp_path)
    images = pictures(32, seed=1).float() / 127.5 - 1
    decoded = autoencoder.decode(autoencoder.encode(images)[None] * autoencoder.scale)[0]
    off = (decoded - images).mean((2, 3)).abs().mean()
    spread = (images - images.mean((0, 2, 3), keepdim=True)).mean((2, 3)).abs().mean()
    assert off < 0.2 * spread
    autoencoder.check_scale(autoencoder.encode(images))
    with pytest.raises(WrongLatentScale, match="do not differ at all"):
        autoencoder.check_scale(torch.zeros(2, 4, 8, 8))


def test_frames_are_decoded_alike_wherever_they_stand(tmp_path: Path) -> None:
    """It saw single frames, and its temporal layers add nothing."""
    train_video_autoencoder(AutoencoderKLSettings(block_out_channels=(32, 32), steps=3), pictures(8, seed=0), tmp_path)
    autoencoder = VideoAutoencoder.load(tmp_path)
    latents = torch.randn(1, 4, 4, 8, 8)
    alone = torch.cat([autoencoder.decode(latents[:, number : number + 1]) for number in range(4)], 1)
    torch.testing.assert_close(autoencoder.decode(latents), alone, rtol=1e-4, atol=1e-5)
