"""Sampling a trained run of any task, an exported folder, or a released Stable Video Diffusion folder."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from svd_core.data.windows import resized, to_pixels
from svd_core.diffusion import (
    Denoiser,
    Network,
    combine,
    constant,
    linear,
    triangular,
)
from svd_core.encoders.conditioners import Conditioners
from svd_core.models.checkpoints import CheckpointError, locate, read_json
from svd_core.models.conditioning import added_time_ids
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.models.video_autoencoder import VideoAutoencoder
from svd_core.tasks.batches import TIME_IDS, between, elevation_ids
from svd_core.tasks.networks import LORA_FILE, load_lora, load_unet
from svd_core.tasks.settings import TOLD, GenerationSettings, Phase, Task
from svd_core.tasks.solving import solve
from svd_core.training.phase import schedule_of

SCALES: dict[str, Callable[[float, float, int], torch.Tensor]] = {
    "constant": lambda lowest, highest, frames: constant(highest, frames),
    "linear": linear,
    "triangular": triangular,
}


class WrongRequest(ValueError):
    """What was asked for does not fit the run's task."""


@dataclass(frozen=True)
class Request:
    """One clip to generate. images: (N, 3, H, W) in [-1, 1], the first frame, or the first and the last.

    Images of another size than the run's are scaled to cover it and cut to its centre, as the clips of training were.
    """

    prompt: str | None = None
    images: torch.Tensor | None = None
    elevation: float | None = None
    frames: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Run:
    """A network with everything that it needs to be sampled. Build it with `load`.

    latent_shape: (T, C, h, w) of what it was trained on.
    """

    network: SpatioTemporalUNet
    autoencoder: VideoAutoencoder
    conditioners: Conditioners
    task: Task
    latent_shape: tuple[int, int, int, int]
    generation: GenerationSettings = field(default_factory=GenerationSettings)
    phase: Phase | None = None

    @classmethod
    def load(cls, folder: Path, encoders: Path | None = None, device: torch.device | None = None) -> "Run":
        """From the folder of a training (its last phase), a phase, an export or a release. Raises CheckpointError.

        encoders: the folder of the frozen networks, if it is neither `folder` nor beside it. device: where network and
        autoencoder run, by default the CPU.
        """
        phases = sorted(path.parent.parent for path in folder.glob("[0-9][0-9]-*/unet/config.json"))
        own = phases[-1] if phases else folder
        encoders = encoders or (own if (own / "vae").is_dir() else own.parent / "encoders")
        network = load_unet(locate(own, "unet"))
        if not isinstance(network, SpatioTemporalUNet):
            raise CheckpointError(f"{own} holds an image network; only video networks are sampled")
        if (own / LORA_FILE).is_file():
            load_lora(network, own / LORA_FILE)
        network.float().eval().requires_grad_(False)
        autoencoder = VideoAutoencoder.load(encoders)
        facts = _facts(own, network, autoencoder)
        network.to(device)
        autoencoder.model.to(device)
        return cls(network, autoencoder, Conditioners.load(encoders), **facts)


def _facts(folder: Path, network: SpatioTemporalUNet, autoencoder: VideoAutoencoder) -> dict[str, Any]:
    """Task, size and sampling of a run; a released folder says none of it, so that they are the paper's."""
    path = folder / "config.json"
    if not path.is_file():
        frames = network.config["num_frames"]
        return {"task": "image_to_video", "latent_shape": (frames, network.config["out_channels"], 72, 128)}
    config = read_json(path)
    if missing := [key for key in ("task", "latent_shape", "generation", "phase") if key not in config]:
        raise CheckpointError(f"{path} lacks {missing[0]!r}, which a training or an export writes")
    return {
        "task": config["task"],
        "latent_shape": tuple(config["latent_shape"]),
        "generation": GenerationSettings.model_validate_json(json.dumps(config["generation"])),
        "phase": Phase.model_validate_json(json.dumps(config["phase"])),
    }


@dataclass(frozen=True)
class Conditions:
    """What the network is told of one clip: context (1, S, D), time_ids (1, K), concat (1, T, C', h, w) or None."""

    context: torch.Tensor
    time_ids: torch.Tensor
    concat: torch.Tensor | None

    @property
    def unconditional(self) -> "Conditions":
        """No text, image or condition latents, but the same fps, bucket, strength and elevation."""
        concat = None if self.concat is None else torch.zeros_like(self.concat)
        return Conditions(torch.zeros_like(self.context), self.time_ids, concat)

    def to(self, device: torch.device) -> "Conditions":
        """The same on a device."""
        concat = None if self.concat is None else self.concat.to(device)
        return Conditions(self.context.to(device), self.time_ids.to(device), concat)


@torch.inference_mode()
def generate(run: Run, request: Request) -> torch.Tensor:
    """A clip, uint8 (T, 3, H, W). Draws from the seed in the released pipeline's order: pixel noise, then latents.

    Raises WrongRequest for what the task needs and was not given, or does not know; PromptTooLong.
    """
    draws = torch.Generator().manual_seed(request.seed)
    frames, *size = run.latent_shape
    frames = frames if request.frames is None else request.frames
    conditions = _conditions(run, request, frames, draws)
    noise = torch.randn((1, frames, *size), generator=draws)
    device = run.network.device
    latents = solved(run.network, conditions.to(device), noise.to(device), run.generation, run.phase)
    return to_pixels(run.autoencoder.decode(latents)[0]).cpu()


def solved(
    network: nn.Module, given: Conditions, noise: torch.Tensor, settings: GenerationSettings, phase: Phase | None
) -> torch.Tensor:
    """Latents of one clip from unit noise, both (1, T, C, h, w). phase: what the network was trained for, if known."""
    over_frames = "constant" if phase is not None and phase.task in TOLD else settings.guidance
    scale = SCALES[over_frames](settings.guidance_min, settings.guidance_max, noise.shape[1]).to(noise.device)
    under_guidance = partial(_guided, network, given, scale)
    if phase is None:
        return solve(under_guidance, noise, settings, "continuous", None)
    return solve(under_guidance, noise, settings, phase.objective, schedule_of(phase))


def _guided(
    network: nn.Module, given: Conditions, scale: torch.Tensor, wrap: Callable[[Network], Denoiser]
) -> Denoiser:
    """Both branches in one forward; with no weight on the unconditional one (scale 1 for every frame) only one."""
    branches = [given] if bool((scale == 1).all()) else [given.unconditional, given]
    context, ids = torch.cat([each.context for each in branches]), torch.cat([each.time_ids for each in branches])
    concat = [each.concat for each in branches if each.concat is not None]

    def raw(x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        x = torch.cat([x, torch.cat(concat)], 2) if concat else x
        output: torch.Tensor = network(x, level, context, ids, return_dict=False)[0]
        return output

    denoise = wrap(raw)

    def guided(noisy: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        estimates = denoise(noisy.repeat(len(branches), 1, 1, 1, 1), level.repeat(len(branches)))
        if len(branches) == 1:
            return estimates
        unconditional, conditional = estimates.chunk(2)
        return combine(unconditional, conditional, scale)

    return guided


def _conditions(run: Run, request: Request, frames: int, draws: torch.Generator) -> Conditions:
    _check(run, request, frames)
    settings = run.generation
    ids = added_time_ids(torch.tensor([settings.fps]), torch.tensor([settings.motion_bucket]))
    if run.task == "text_to_video":
        return Conditions(run.conditioners.encode_text([request.prompt or ""]), ids[:, : TIME_IDS[run.task]], None)
    if request.images is None:
        raise WrongRequest(f"task {run.task} starts from an image")
    size = [side * run.autoencoder.factor for side in run.latent_shape[2:]]
    images = resized(request.images, (size[0], size[1]))
    ids = torch.cat([ids, torch.tensor([[settings.noise_strength]])], 1)
    context = run.conditioners.image.encode(images)[None]  # cut like the frames of training
    if run.task == "frame_interpolation":
        ends = run.autoencoder.encode(images) * run.autoencoder.scale
        ends = ends + settings.noise_strength * torch.randn(ends.shape, generator=draws)
        return Conditions(context, ids, between(ends, frames)[None])
    noisy = images + settings.noise_strength * torch.randn(images.shape, generator=draws)
    concat = run.autoencoder.encode(noisy)[:, None].repeat(1, frames, 1, 1, 1)
    if run.task == "multi_view":
        ids = torch.cat([ids, elevation_ids(request.elevation or 0.0)[None]], 1)
    return Conditions(context, ids, concat)


def _check(run: Run, request: Request, frames: int) -> None:
    """Refuse what the task lacks or does not know."""
    wanted = {"text_to_video": 0, "frame_interpolation": 2}.get(run.task, 1)
    found = 0 if request.images is None else len(request.images)
    if found != wanted:
        raise WrongRequest(f"task {run.task} takes {wanted} images, got {found}")
    if (request.prompt is not None) != (run.task == "text_to_video"):
        needs = "needs a prompt" if run.task == "text_to_video" else "does not read prompts"
        raise WrongRequest(f"task {run.task} {needs}")
    if (request.elevation is not None) != (run.task == "multi_view"):
        needs = "needs the camera's elevation" if run.task == "multi_view" else "has no elevation"
        raise WrongRequest(f"task {run.task} {needs}")
    if request.elevation is not None and not -90 <= request.elevation <= 90:
        raise WrongRequest(f"an elevation lies between -90 and 90 degrees, got {request.elevation:g}")
    least = 3 if run.task == "frame_interpolation" else 1
    if frames < least:
        raise WrongRequest(f"task {run.task} generates {least} frames at least; got {frames}")
