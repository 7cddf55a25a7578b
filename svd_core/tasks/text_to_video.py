"""Text-to-video: sample a trained run for the reference clips' captions."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from svd_core.data.windows import to_pixels
from svd_core.device import repeatable_device
from svd_core.diffusion import Denoiser, DiscreteSchedule, Network, combine, constant, denoiser
from svd_core.encoders.text import BagOfWords
from svd_core.models.autoencoder import PatchAutoencoder
from svd_core.models.conditioning import added_time_ids
from svd_core.models.networks import load_video_unet
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.progress import Progress, silent
from svd_core.settings import Objective, SampleSettings
from svd_core.tasks.solving import solve
from svd_core.training.batches import schedule_of
from svd_core.training.draws import sample_rng
from svd_core.training.execution import DTYPES, autocast


def sample(
    settings: SampleSettings,
    run: Path,
    autoencoder: Path,
    reference: Path,
    out: Path,
    *,
    progress: Progress = silent,
) -> None:
    """Write `videos.safetensors`, uint8 (N, T, 3, H, W), and `prompts.json` for the first N captions of the reference.

    A clip's noise depends on (seed, its index) alone and its motion bucket is one constant: arms differ in their
    weights only.
    """
    prompts = [
        {"prompt": clip["caption"], "fps": clip["fps"]}
        for clip in json.loads((reference / "clips.json").read_text())[: settings.clips]
    ]
    if len(prompts) < settings.clips:
        raise ValueError(
            f"{settings.clips} clips to sample, but {reference / 'clips.json'} has {len(prompts)} captions"
        )
    config = json.loads((run / "config.json").read_text())
    device = repeatable_device()
    network, decoder = load_video_unet(run).to(device), PatchAutoencoder.load(autoencoder).to(device)
    text = BagOfWords(config["text_shape"][-1]).encode([str(clip["prompt"]) for clip in prompts])
    fps = torch.tensor([float(clip["fps"]) if settings.fps is None else settings.fps for clip in prompts])
    time_ids = added_time_ids(fps, torch.full((len(prompts),), settings.motion_bucket))
    shape, trained = tuple(config["latent_shape"]), config["settings"]
    objective = trained.get("objective", "continuous")
    schedule = schedule_of(objective, trained.get("log_snr_shift", 0.0))
    videos = []
    for start in range(0, len(prompts), settings.batch_size):
        rows = range(start, min(start + settings.batch_size, len(prompts)))
        noise = torch.stack([_noise(settings.seed, row, shape) for row in rows])
        given = (each.to(device) for each in (noise, text[rows], time_ids[rows]))
        videos.append(_generate(settings, objective, schedule, network, decoder, *given).cpu())
        progress(rows.stop, len(prompts))
    save_file({"videos": torch.cat(videos)}, out / "videos.safetensors")
    (out / "prompts.json").write_text(json.dumps(prompts, indent=1) + "\n")


def _noise(seed: int, index: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(sample_rng(seed, "sample", index).standard_normal(shape, np.float32))


@torch.inference_mode()
def _generate(
    settings: SampleSettings,
    objective: Objective,
    schedule: DiscreteSchedule | None,
    network: SpatioTemporalUNet,
    decoder: PatchAutoencoder,
    noise: torch.Tensor,
    text: torch.Tensor,
    time_ids: torch.Tensor,
) -> torch.Tensor:
    """Noise (B, T, C, h, w) to pixels uint8 (B, T, 3, H, W)."""
    conditions = text, time_ids, constant(settings.guidance, noise.shape[1]).to(noise.device)
    under_guidance = partial(guided, network, *conditions)
    with autocast(noise.device, DTYPES[settings.precision]):
        latents = solve(under_guidance, noise, settings, objective, schedule)
    frames = to_pixels(decoder.decode(latents.flatten(0, 1)))
    return frames.reshape(*latents.shape[:2], *frames.shape[1:])


def guided(
    network: SpatioTemporalUNet,
    text: torch.Tensor,
    time_ids: torch.Tensor,
    scale: torch.Tensor,
    wrap: Callable[[Network], Denoiser] = denoiser,
) -> Denoiser:
    """Denoiser of clips (B, T, ...) under guidance, both branches in one forward.

    The unconditional branch has no text, but keeps fps and motion bucket, as SVD's does. `wrap`: what is guided, by
    default the denoiser that the network makes.
    """
    both_texts = torch.cat([torch.zeros_like(text), text])
    both_ids = torch.cat([time_ids, time_ids])
    both = wrap(lambda x, level: network(x, level, both_texts, both_ids, return_dict=False)[0].float())

    def estimate(noisy: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        unconditional, conditional = both(torch.cat([noisy, noisy]), torch.cat([level, level])).chunk(2)
        return combine(unconditional, conditional, scale)

    return estimate
