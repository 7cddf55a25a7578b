"""FLOPs of stages that train or sample, counted on networks without weights: what a plan is priced by before it ran."""

from functools import cache

from ablations.plan import Graph
from ablations.stage import Node
from svd_core.settings import NetworkSettings


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
    return None


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
    """FLOPs of one clip's way through the network, and back if it trains, on tensors of a shape but no values."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from svd_core.models.inflation import inflate
    from svd_core.models.networks import image_unet
    from svd_core.training.stages import TIME_ID_DIM, TIME_IDS

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = image_unet(NetworkSettings.model_validate_json(network), channels=channels, text_dim=text_dim)
        text, noise_level = torch.zeros(1, 1, text_dim), torch.zeros(1)
        if video:
            model = inflate(model, time_ids=TIME_IDS, time_id_dim=TIME_ID_DIM, num_frames=frames)
            latents, more = torch.zeros(1, frames, channels, side, side), [torch.zeros(1, TIME_IDS)]
        else:
            latents, more = torch.zeros(1, channels, side, side), []
        model = model.to("meta")  # diffusers makes some of its parameters on the CPU whatever the default
        out = model(latents, noise_level, text, *more, return_dict=False)[0]
        if backward:
            out.sum().backward()
    return float(counter.get_total_flops())
