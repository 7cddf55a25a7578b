"""torchvision's InceptionV3 under the names of NVIDIA's TorchScript."""

PLACES = {
    "Conv2d_1a_3x3": "conv", "Conv2d_2a_3x3": "conv_1", "Conv2d_2b_3x3": "conv_2", "Conv2d_3b_1x1": "conv_3",
    "Conv2d_4a_3x3": "conv_4", "Mixed_5b": "mixed", "Mixed_5c": "mixed_1", "Mixed_5d": "mixed_2",
    "Mixed_6a": "mixed_3", "Mixed_6b": "mixed_4", "Mixed_6c": "mixed_5", "Mixed_6d": "mixed_6",
    "Mixed_6e": "mixed_7", "Mixed_7a": "mixed_8", "Mixed_7b": "mixed_9", "Mixed_7c": "mixed_10",
}  # fmt: skip
TOWERS = {
    "5": {"branch5x5": "tower", "branch3x3dbl": "tower_1"},
    "6a": {"branch3x3dbl": "tower"},
    "6": {"branch7x7": "tower", "branch7x7dbl": "tower_1"},
    "7a": {"branch3x3": "tower", "branch7x7x3": "tower_1"},
}
LAST = {
    "branch3x3_1": "tower_conv", "branch3x3_2a": "tower_mixed_conv", "branch3x3_2b": "tower_mixed_conv_1",
    "branch3x3dbl_1": "tower_1_conv", "branch3x3dbl_2": "tower_1_conv_1", "branch3x3dbl_3a": "tower_1_mixed_conv",
    "branch3x3dbl_3b": "tower_1_mixed_conv_1", "branch1x1": "conv", "branch_pool": "tower_2_conv",
}  # fmt: skip


def published_names(network):
    """Of each of torchvision's units, a convolution with its BatchNorm, the published name."""
    units = [name.removesuffix(".conv.weight") for name in network.state_dict() if name.endswith(".conv.weight")]
    return {unit: f"layers.{_published(unit)}" for unit in units}


def _published(name):
    block, _, branch = name.partition(".")
    if not branch:
        return PLACES[block]
    key = block.removeprefix("Mixed_")
    if key in ("7b", "7c"):
        return f"{PLACES[block]}.{LAST[branch]}"
    if branch in ("branch1x1", "branch3x3"):
        return f"{PLACES[block]}.conv"
    if branch == "branch_pool":
        return f"{PLACES[block]}.tower_2.conv"
    kind, number = branch.rsplit("_", 1)
    step = int(number) - 1
    tower = TOWERS.get(key) or TOWERS[key[0]]
    return f"{PLACES[block]}.{tower[kind]}.{f'conv_{step}' if step else 'conv'}"
