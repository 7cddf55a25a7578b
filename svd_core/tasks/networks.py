"""The network of each phase: fresh, imported, inflated from an image model, or fitted to another task."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from svd_core.encoders.conditioners import Conditioners
from svd_core.models.adaptation import WRAPPED, MaskedFrames, adapted, add_lora, lora_weights
from svd_core.models.checkpoints import (
    CheckpointError,
    check_shapes,
    load_network,
    locate,
    read_json,
    stored_shapes,
)
from svd_core.models.inflation import inflate
from svd_core.models.networks import image_unet
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.models.video_autoencoder import VideoAutoencoder
from svd_core.tasks.batches import TIME_IDS, input_channels
from svd_core.tasks.settings import Bases, Phase

LORA_FILE = "pytorch_lora_weights.safetensors"
"""Where diffusers looks for low-rank weights."""


LORA_METADATA = "lora_adapter_metadata"
"""Where diffusers keeps how low-rank weights were made."""


def next_network(phase: Phase, bases: Bases, encoders: Path, before: Path | None) -> tuple[nn.Module, bool]:
    """The network that a phase trains, and whether it was inflated just now. before: the folder of the phase before.

    New weights come from torch's global generator. Raises NotInflatable or CheckpointError.
    """
    before_it = _network_before(bases, encoders, before)
    if before_it.dtype != torch.float32:
        before_it = before_it.float()
    if phase.task == "images":
        if not isinstance(before_it, UNet2DConditionModel):
            raise CheckpointError(f"phase {phase.name} trains on images, but {bases.start} holds a video network")
        return before_it, False
    latent = VideoAutoencoder.load(encoders).model.config.latent_channels
    channels, ids = input_channels(phase.task, latent), TIME_IDS[phase.task]
    if inflated := isinstance(before_it, UNet2DConditionModel):
        video = inflate(
            before_it,
            in_channels=channels,
            spatial=bases.spatial,
            time_ids=ids,
            time_id_dim=bases.time_id_dim,
            num_frames=phase.frames,
        )
    else:
        video = adapted(before_it, in_channels=channels, time_ids=ids)
        if before is None and bases.spatial == "random":
            raise CheckpointError(
                f"spatial: random leaves an image network's weights behind; {bases.start} is of videos"
            )
    video.register_to_config(num_frames=phase.frames)
    return (MaskedFrames(video) if phase.task == "frame_interpolation" else video), inflated


def _network_before(bases: Bases, encoders: Path, before: Path | None) -> Any:
    if before is not None:
        return load_unet(before / "unet")
    if bases.start is not None:
        return load_unet(start_folder(bases.start))
    width = Conditioners.load(encoders).dim
    latent = VideoAutoencoder.load(encoders).model.config.latent_channels
    return image_unet(bases.network, channels=latent, text_dim=width, norm_groups=bases.norm_groups)


def check_start(bases: Bases, encoders: Path) -> None:
    """Raise CheckpointError unless the network to start from reads the conditioners' width and makes these latents."""
    if bases.start is None:
        return
    path = start_folder(bases.start) / "config.json"
    config = read_json(path)
    wanted = {
        "cross_attention_dim": read_json(encoders / "image_encoder" / "config.json")["projection_dim"],
        "out_channels": read_json(encoders / "vae" / "config.json")["latent_channels"],
    }
    for name, value in wanted.items():
        found = config.get(name)
        if {*found} != {value} if isinstance(found, list) else found != value:
            raise CheckpointError(
                f"{path}: {name} is {found}, but this training's encoders need {value}: name the encoders that the "
                "network was trained with (conditioners, autoencoder)"
            )


def start_folder(start: str) -> Path:
    """The UNet's folder of a pipeline, of a hub id in the cache, or of another training's last phase.

    Raises CheckpointError for a phase of low-rank weights: the network beside them does not have them.
    """
    phases = sorted(path.parent for path in Path(start).glob("[0-9][0-9]-*/unet"))
    folder = phases[-1] / "unet" if phases else locate(start, "unet")
    if (folder.parent / LORA_FILE).is_file():
        raise CheckpointError(f"{folder.parent} holds a LoRA, and nothing trains on from one; name the phase before it")
    return folder


def load_unet(folder: Path) -> UNet2DConditionModel | SpatioTemporalUNet:
    """An image or a video network in diffusers' format, as its config says which."""
    name = read_json(folder / "config.json").get("_class_name")
    if name == "UNet2DConditionModel":
        image: UNet2DConditionModel = load_network(UNet2DConditionModel, folder)
        return image
    video: SpatioTemporalUNet = load_network(SpatioTemporalUNet, folder)
    return video


def load_lora(network: nn.Module, file: Path) -> None:
    """Add the low-rank weights of a file in diffusers' format, and freeze the rest.

    Raises CheckpointError naming those that are missing, unknown or of another shape.
    """
    from peft import set_peft_model_state_dict

    found = {WRAPPED + name.removeprefix(WRAPPED): shape for name, shape in stored_shapes(file).items()}
    ranks = {shape[0] for name, shape in found.items() if name.endswith("lora_A.weight")}
    if len(ranks) != 1:
        raise CheckpointError(f"{file}: expected low-rank weights of one rank, found ranks {sorted(ranks)}")
    rank = ranks.pop()
    with safe_open(file, "pt") as stored:
        told = json.loads((stored.metadata() or {}).get(LORA_METADATA, "{}"))
    if others := {value for key, value in told.items() if key.endswith("lora_alpha")} - {rank}:
        raise CheckpointError(f"{file}: lora_alpha is {others.pop()}; only that of its rank, {rank}, is known")
    add_lora(network, rank)
    check_shapes({name: tuple(value.shape) for name, value in lora_weights(network).items()}, found, file)
    weights = {name.removeprefix(WRAPPED): value for name, value in load_file(file).items()}
    set_peft_model_state_dict(network, weights)


@torch.no_grad()
def plain(network: nn.Module) -> SpatioTemporalUNet:
    """A copy of a network without its low-rank weights, to be saved as a network of its own."""
    config = {key: value for key, value in network.config.items() if not key.startswith("_")}  # type: ignore[union-attr, operator]
    weights = {
        name.replace(".base_layer.", "."): value for name, value in network.state_dict().items() if "lora_" not in name
    }
    copy: SpatioTemporalUNet = SpatioTemporalUNet.from_config(config)
    copy.load_state_dict(weights)
    return copy
