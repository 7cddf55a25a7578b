"""FLOPs of stages that train or sample, counted on networks without weights: what a plan is priced by before it ran."""

import json
import re
from functools import cache
from typing import Any

from ablations.outside import folders
from ablations.plan import Graph
from ablations.stage import Node
from ablations.stages import STAGES
from svd_core.settings import NetworkSettings

NETWORKS = ("encoders", "train_phase")
"""Stages that may be given networks."""


def counted(node: Node, graph: Graph) -> float | None:
    """FLOPs of one stage, a multiply-add as two; None for stages whose work is not a network's passes."""
    settings = node.settings
    if node.stage == "pretrain_images":
        return float(settings["samples"]) * passes(*shape(node, graph, frames=1), video=False, backward=True)
    if node.stage in ("pretrain_videos", "finetune"):
        return float(settings["samples"]) * passes(*shape(node, graph), video=True, backward=True)
    if node.stage == "sample":
        once = passes(*shape(node, graph), video=True, backward=False)
        return 2.0 * float(settings["clips"] * settings["steps"]) * once  # guidance: with and without the text
    if node.stage == "train_phase" and not names_networks(node, graph):
        return float(settings["steps"] * settings["batch_size"]) * phase_passes(node, graph, backward=True)
    if node.stage == "sample_held_out" and not names_networks(node, graph):
        once = phase_passes(graph.nodes[node.parents["train_phase"]], graph, backward=False)
        return 2.0 * float(settings["clips"] * settings["steps"]) * once
    return None


def names_networks(node: Node, graph: Graph) -> bool:
    """Whether a stage works with networks from folders of the user's, whose sizes stand in files."""
    above = [graph.nodes[key] for key in graph.closure([node.key]) if graph.nodes[key].stage in NETWORKS]
    return any(True for each in above for _ in folders(dict(each.settings), STAGES[each.stage].outside))


def shape(node: Node, graph: Graph, frames: int | None = None) -> tuple[str, int, int, int, int]:
    """Network (as JSON), frames, latent channels, latent side and text width that a stage works with."""
    above = {graph.nodes[key].stage: graph.nodes[key].settings for key in graph.closure([node.key])}
    network = NetworkSettings.model_validate(dict(above["pretrain_images"]["network"]), strict=False)
    pictures = above.get("curate") or above["images"]
    trained = graph.nodes[node.parents["pretrain_videos"]] if node.stage == "sample" else node
    latents = graph.nodes[trained.parents.get("encode") or trained.parents["encode_images"]].settings
    side = (latents.get("resolution") or pictures["resolution"]) // above["autoencoder"]["patch"]
    text = next(settings["text_dim"] for settings in above.values() if "text_dim" in settings)
    return network.model_dump_json(), frames or pictures["frames"], above["autoencoder"]["channels"], side, text


@cache
def passes(network: str, frames: int, channels: int, side: int, text_dim: int, *, video: bool, backward: bool) -> float:
    """FLOPs of one clip's way through the network of the text-to-video stages, and back if it trains."""
    import torch

    from svd_core.models.inflation import inflate
    from svd_core.models.networks import image_unet
    from svd_core.training.stages import TIME_ID_DIM, TIME_IDS

    with torch.device("meta"):
        model: Any = image_unet(NetworkSettings.model_validate_json(network), channels=channels, text_dim=text_dim)
        if video:
            model = inflate(model, time_ids=TIME_IDS, time_id_dim=TIME_ID_DIM, num_frames=frames)
    size = (frames, channels, side, side) if video else (channels, side, side)
    return _flops(model, size, text_dim, TIME_IDS if video else 0, backward=backward)


def phase_passes(node: Node, graph: Graph, *, backward: bool) -> float:
    """As `passes`, for the network of a `train_phase`; a LoRA's frozen weights need no gradient of their own."""
    encoders = graph.nodes[node.parents["encoders"]].settings
    autoencoder, width = encoders["autoencoder"], encoders["conditioners"]["dim"]
    factor = 2 ** (len(autoencoder["block_out_channels"]) - 1)
    return _phase_passes(json.dumps(dict(node.settings)), autoencoder["latent_channels"], factor, width, backward)


@cache
def _phase_passes(settings: str, latent: int, factor: int, width: int, backward: bool) -> float:
    import torch

    from svd_core.models.adaptation import TEMPORAL_ATTENTION, train_only_time_embedding
    from svd_core.models.inflation import inflate
    from svd_core.models.networks import image_unet
    from svd_core.tasks.batches import TIME_IDS, input_channels
    from svd_core.tasks.settings import PhaseSettings

    phase = PhaseSettings.model_validate_json(settings)
    ids, channels = TIME_IDS[phase.task], latent
    with torch.device("meta"):
        model: Any = image_unet(phase.network, channels=latent, text_dim=width, norm_groups=phase.norm_groups)
        if phase.task != "images":
            channels = input_channels(phase.task, latent)
            wide = phase.time_id_dim
            model = inflate(model, in_channels=channels, time_ids=ids, time_id_dim=wide, num_frames=phase.frames)
    if phase.trained == "lora":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(re.search(TEMPORAL_ATTENTION, name) is not None)
    elif phase.trained == "time_embedding":
        train_only_time_embedding(model)
    sides = tuple(side // factor for side in phase.resolution)
    size = (channels, *sides) if phase.task == "images" else (phase.frames, channels, *sides)
    return _flops(model, size, width, ids, backward=backward)


def _flops(model: Any, size: tuple[int, ...], text_dim: int, time_ids: int, *, backward: bool) -> float:
    """FLOPs on tensors of a shape but no values. size: of one clip's latents, or one image's."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = model.to("meta")  # diffusers makes some of its parameters on the CPU whatever the default
        text, more = torch.zeros(1, 1, text_dim), [torch.zeros(1, time_ids)] if time_ids else []
        out = model(torch.zeros(1, *size), torch.zeros(1), text, *more, return_dict=False)[0]
        if backward:
            out.sum().backward()
    return float(counter.get_total_flops())
