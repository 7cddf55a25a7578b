"""The latent autoencoder of Stable Video Diffusion: a frame-wise encoder and a decoder that sees the whole clip."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLTemporalDecoder
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D, TemporalResnetBlock
from torch import nn

from svd_core.data.windows import read_clip_table, read_windows, resized, to_pixels, to_unit_range
from svd_core.device import repeatable_device
from svd_core.encoders.settings import AutoencoderKLSettings
from svd_core.models.checkpoints import load_network, locate
from svd_core.progress import Progress, silent
from svd_core.training.fitting import fit

KL_WEIGHT = 1e-6
SCALE_FROM = 320
"""Frames that the scaling factor of a small autoencoder is measured on."""
FIRST_LOG_VARIANCE = -6.0
LEVEL = 1.0
MOST_CLIPS, MOST_FRAMES = 4096, 32
"""A small autoencoder sees no more of a folder: all of it is held in memory."""
PLAUSIBLE_SPREAD = (0.25, 4.0)
"""Standard deviation of scaled latents: diffusion assumes 1, and 0.18215 left out or applied twice is beyond this."""


class WrongLatentScale(ValueError):
    """The autoencoder's scaling_factor does not bring its latents to about unit variance."""


@dataclass(frozen=True)
class VideoAutoencoder:
    """AutoencoderKLTemporalDecoder as the trainer uses it. Build it with `load`."""

    model: AutoencoderKLTemporalDecoder

    @classmethod
    def load(cls, source: str | Path) -> "VideoAutoencoder":
        """From its folder, a pipeline's folder, or a cached hub id, in float32. Raises CheckpointError."""
        model = load_network(AutoencoderKLTemporalDecoder, locate(source, "vae"))
        return cls(model.float().eval().requires_grad_(False))

    @property
    def scale(self) -> float:
        """What encoder means are multiplied by to become the latents of diffusion (0.18215 in SVD)."""
        return float(self.model.config.scaling_factor)

    @property
    def factor(self) -> int:
        """Pixels a latent, along each side."""
        return factor_of(self.model.config.block_out_channels)

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encoder means (N, C, h, w), not scaled, of images (N, 3, H, W) in [-1, 1], eight at a time.

        Computed where the networks are, returned where the images are; so are pixels of latents.
        """
        few = (image.to(self.model.device) for image in images.split(8))
        return torch.cat([self.model.encode(image).latent_dist.mode().to(images.device) for image in few])

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pixels (B, T, 3, H, W), about [-1, 1], of scaled latents (B, T, C, h, w).

        All frames of a clip at once: the decoder mixes neighbours, so that pieces would come out differently.
        """
        frames = latents.shape[1]
        scaled = latents.to(self.model.device) / self.scale
        clips = [self.model.decode(clip, num_frames=frames).sample for clip in scaled]
        return torch.stack(clips).to(latents.device)

    def check_scale(self, means: torch.Tensor) -> None:
        """Raise WrongLatentScale unless the scaled encoder means spread about as much as unit variance."""
        spread = float((means.float() * self.scale).std())
        low, high = PLAUSIBLE_SPREAD
        if spread == 0:
            raise WrongLatentScale("latents do not differ at all: is every frame of these clips one colour?")
        if not low <= spread <= high:
            raise WrongLatentScale(
                f"latents have a standard deviation of {spread:.3g} after scaling_factor={self.scale:g}; diffusion "
                f"expects about 1: {self.scale / spread:.3g} would fit this autoencoder and these clips"
            )


def factor_of(block_out_channels: Sequence[int]) -> int:
    """Pixels a latent, along each side: every block but the last halves them."""
    return int(2 ** (len(block_out_channels) - 1))


def check_size(resolution: tuple[int, ...], factor: int) -> None:
    """Raise ValueError, with the nearest size, unless latents of `factor` pixels fill height and width."""
    if any(side % factor for side in resolution):
        nearest = [max(1, round(side / factor)) * factor for side in resolution]
        raise ValueError(
            f"resolution {list(resolution)} must be multiples of {factor}, the pixels a latent; nearest: {nearest}"
        )


def make_autoencoder(
    settings: AutoencoderKLSettings,
    clips: Sequence[Path],
    out: Path,
    *,
    size: tuple[int, int] | None = None,
    progress: Progress = silent,
) -> None:
    """Write `vae/` under `out`: the released one that the settings name, or a small one trained on these clip folders.

    It is trained on up to `MOST_FRAMES` of the first frames of up to `MOST_CLIPS` clips a folder, brought to `size`
    (height, width) if one is given. Raises ValueError for frames of several sizes, or one that latents do not fill.
    """
    if settings.folder is not None:
        VideoAutoencoder.load(settings.folder).model.save_pretrained(out / "vae")
        return
    windows = [window for folder in clips for window in _some_windows(folder, size)]
    sizes = sorted({tuple(each.shape[-2:]) for each in windows})
    if len(sizes) > 1:
        raise ValueError(f"one autoencoder is trained on all clips, but their frames have the sizes {sizes}")
    check_size(sizes[0], factor_of(settings.block_out_channels))
    train_video_autoencoder(settings, torch.cat(windows), out / "vae", progress=progress)


def _some_windows(folder: Path, size: tuple[int, int] | None) -> Iterator[torch.Tensor]:
    """Frames (T, 3, H, W), uint8, of clips spread evenly over a folder."""
    table = read_clip_table(folder)
    some = table.gather_every(-(-len(table) // MOST_CLIPS))
    for (window,) in read_windows(folder, some, batch_size=1, frames=MOST_FRAMES):
        if size is None or size == tuple(window.shape[-2:]):
            yield window
        else:
            yield to_pixels(resized(to_unit_range(window), size))


def train_video_autoencoder(
    settings: AutoencoderKLSettings, images: torch.Tensor, out: Path, *, progress: Progress = silent
) -> None:
    """Train a small autoencoder on frames, uint8 (N, 3, H, W), by mean absolute error, and save it under `out`.

    Its scaling_factor is one over the standard deviation of the latents of some of them (Rombach et al. 2022, appendix
    G), so that diffusion sees unit variance.
    """
    torch.manual_seed(settings.seed)
    device = repeatable_device()
    model = AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * len(settings.block_out_channels),
        block_out_channels=settings.block_out_channels,
        latent_channels=settings.latent_channels,
        layers_per_block=1,
        force_upcast=False,
    )
    _start_plainly(model)
    model.to(device)

    def loss_at(rng: np.random.Generator) -> torch.Tensor:
        rows = torch.from_numpy(rng.integers(len(images), size=settings.batch_size))
        return _reconstruction_loss(model, to_unit_range(images[rows]).to(device), rng)

    learnt = [parameter for name, parameter in model.named_parameters() if "temporal" not in name]
    fit(learnt, loss_at, settings, name="video_autoencoder", progress=progress)
    model.eval()
    means = VideoAutoencoder(model).encode(to_unit_range(images[:: -(-len(images) // SCALE_FROM)]))
    model.register_to_config(scaling_factor=float(1 / means.std()))
    model.save_pretrained(out)


@torch.no_grad()
def _start_plainly(model: AutoencoderKLTemporalDecoder) -> None:
    """Set fresh weights so that some hundred steps are enough: the signal's way keeps its size, all else is silent.

    With diffusers' own start 400 steps of 40 frames learnt little more than brightness. Residual branches and attention
    begin at zero, where temporal branches stay, the convolutions between them at unit gain (PyTorch's take two fifths
    away each). Latents begin nearly without noise: at a standard deviation of 1 it drowns them. Two channels a group
    are pushed apart at both ends: a group norm then measures each beside the other's level and not beside its own.
    """
    encoder, decoder = model.encoder, model.decoder
    for module in model.modules():
        if isinstance(module, ResnetBlock2D | TemporalResnetBlock):
            zero(module.conv2)
        if isinstance(module, Attention):
            zero(module.to_out[0])
    convolutions = [encoder.conv_in, encoder.conv_out, decoder.conv_in, decoder.conv_out]
    convolutions += [block.downsamplers[0].conv for block in encoder.down_blocks if block.downsamplers]
    convolutions += [block.upsamplers[0].conv for block in decoder.up_blocks if block.upsamplers]
    for convolution in convolutions:
        nn.init.normal_(convolution.weight, std=convolution.weight[0].numel() ** -0.5)
        nn.init.zeros_(convolution.bias)
    zero(decoder.time_conv_out)
    colours = range(decoder.time_conv_out.out_channels)
    decoder.time_conv_out.weight[colours, colours, 1] = 1.0
    latents = model.config.latent_channels
    zero(model.quant_conv)
    model.quant_conv.weight[range(latents), range(latents)] = 1.0
    model.quant_conv.bias[latents:] = FIRST_LOG_VARIANCE
    for last in (encoder.mid_block.resnets[-1], decoder.up_blocks[-1].resnets[-1].spatial_res_block):
        last.conv2.bias[::2], last.conv2.bias[1::2] = LEVEL, -LEVEL


def zero(layer: nn.Module) -> None:
    """Set a layer's weights and bias to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _reconstruction_loss(
    model: AutoencoderKLTemporalDecoder, images: torch.Tensor, rng: np.random.Generator
) -> torch.Tensor:
    """Mean absolute error of images (N, 3, H, W) through a sampled latent, and the KL term that bounds it."""
    latent = model.encode(images).latent_dist
    noise = torch.from_numpy(rng.standard_normal(latent.mean.shape, np.float32)).to(images.device)
    decoded = model.decode(latent.mean + latent.std * noise, num_frames=1).sample
    loss: torch.Tensor = F.l1_loss(decoded, images) + KL_WEIGHT * latent.kl().mean()
    return loss
