"""The small latent autoencoder: a patch PCA as encoder and a residual decoder trained under latent noise.

PCA is the best linear code of a patch and needs no training. Its inverse leaves speckle wherever a sampled latent
is off; a small convolutional decoder, trained with noise on its input, removes most of that and sharpens edges.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from svd_core.data.windows import to_unit_range
from svd_core.device import repeatable_device
from svd_core.progress import Progress, silent
from svd_core.settings import AutoencoderSettings
from svd_core.training.fitting import fit

WIDTH = 48
EVENNESS = 0.5
"""Components are scaled by their standard deviation to this power: 0 keeps PCA's scales, 1 whitens. At 0 fine
components drown in the noise schedule, at 1 they count as much as brightness."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner: torch.Tensor = self.conv2(F.silu(self.conv1(F.silu(x))))
        return x + inner


class PatchAutoencoder(nn.Module):
    """Images (N, 3, H, W) in [-1, 1] to latents (N, C, H/patch, W/patch) of about unit variance, and back."""

    basis: torch.Tensor
    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, patch: int, channels: int) -> None:
        super().__init__()
        values = 3 * patch * patch
        if channels > values:
            raise ValueError(
                f"a {patch}x{patch} patch has {values} values, so at most {values} channels; got {channels}"
            )
        self.patch, self.channels = patch, channels
        self.register_buffer("basis", torch.zeros(channels, values))
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("scale", torch.ones(channels))
        self.residual = nn.Sequential(
            nn.Conv2d(channels, WIDTH, 3, padding=1),
            ResidualBlock(WIDTH),
            ResidualBlock(WIDTH),
            nn.SiLU(),
            nn.Conv2d(WIDTH, values, 3, padding=1),
        )
        for parameter in self.residual[-1].parameters():
            nn.init.zeros_(parameter)  # decoding starts as the inverse PCA

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1] -> latents (N, C, H/patch, W/patch)."""
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % self.patch or images.shape[3] % self.patch:
            raise ValueError(f"expected (N, 3, H, W) with H and W multiples of {self.patch}; got {tuple(images.shape)}")
        patches = F.pixel_unshuffle(images, self.patch) - self.mean[:, None, None]
        return torch.einsum("cv,nvhw->nchw", self.basis, patches) / self.scale[:, None, None]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (N, C, h, w) -> (N, 3, h*patch, w*patch), about [-1, 1] (not clipped)."""
        patches = torch.einsum("cv,nchw->nvhw", self.basis, latents * self.scale[:, None, None])
        patches = patches + self.mean[:, None, None] + self.residual(latents)
        return F.pixel_shuffle(patches, self.patch)

    def fit_basis(self, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        """Set the encoder from the mean (V,) and covariance (V, V) of patches, both float64."""
        variances, directions = torch.linalg.eigh(covariance)
        basis = directions.flip(1)[:, : self.channels].T
        largest = basis.gather(1, basis.abs().argmax(1, keepdim=True))
        deviations = variances.flip(0)[: self.channels].clamp(min=1e-8).sqrt()
        scale = deviations**EVENNESS
        scale *= (deviations / scale).square().mean().sqrt()
        self.basis.copy_(basis * largest.sign())
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `config.json`."""
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"patch": self.patch, "channels": self.channels}) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "PatchAutoencoder":
        """Read what `save` wrote, in evaluation mode."""
        model = cls(**json.loads((folder / "config.json").read_text()))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model.eval().requires_grad_(False)


def train_autoencoder(settings: AutoencoderSettings, images: Path, out: Path, *, progress: Progress = silent) -> None:
    """Fit the PCA to the images, then train the decoder; write the model and `metrics.json` (on a held-out part)."""
    torch.manual_seed(settings.seed)
    model = PatchAutoencoder(settings.patch, settings.channels)
    pixels = load_file(images / "images.safetensors")["images"]
    held_out = max(1, len(pixels) // 20)
    model.fit_basis(*patch_statistics(pixels[held_out:], settings.patch))
    _train_decoder(model.to(repeatable_device()), settings, pixels[held_out:], progress)
    model.cpu().eval()
    test = to_unit_range(pixels[:held_out][:512])
    model.save(out)
    figures = {"psnr_db": psnr(model, test), "images": len(test), "held_out": True}
    (out / "metrics.json").write_text(json.dumps(figures, sort_keys=True) + "\n")


def patch_statistics(images: torch.Tensor, patch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (V,) and covariance (V, V), float64, of all patches of uint8 images (N, 3, H, W)."""
    values = 3 * patch * patch
    count, total, products = 0, torch.zeros(values).double(), torch.zeros(values, values).double()
    for chunk in images.split(512):
        patches = F.pixel_unshuffle(to_unit_range(chunk), patch).permute(0, 2, 3, 1).reshape(-1, values)
        count += len(patches)
        total += patches.sum(0, dtype=torch.float64)
        products += (patches.T @ patches).double()
    mean = total / count
    return mean, products / count - torch.outer(mean, mean)


def psnr(model: PatchAutoencoder, images: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of the reconstruction, over all of `images` (N, 3, H, W) in [-1, 1]."""
    with torch.no_grad():
        error = (model.decode(model.encode(images)).clamp(-1, 1) - images).square().mean()
    return float(10 * torch.log10(4 / error))


def _train_decoder(
    model: PatchAutoencoder, settings: AutoencoderSettings, pixels: torch.Tensor, progress: Progress
) -> None:
    """Mean squared error under latent noise of a level drawn per image from 0 .. latent_noise."""

    def loss_at(rng: np.random.Generator) -> torch.Tensor:
        rows = torch.from_numpy(rng.integers(len(pixels), size=settings.batch_size))
        images = to_unit_range(pixels[rows].to(model.mean.device))
        latents = model.encode(images)
        level = torch.from_numpy(rng.uniform(0, settings.latent_noise, (len(images), 1, 1, 1)).astype(np.float32))
        noise = level * torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
        return F.mse_loss(model.decode(latents + noise.to(latents.device)), images)

    fit(model.residual.parameters(), loss_at, settings, name="autoencoder", progress=progress)
