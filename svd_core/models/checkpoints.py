"""Networks in diffusers' folder format, from disk or the local hub cache: checked before reading, never fetched."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

WEIGHTS = (
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.fp16.safetensors",
)
SHOWN = 3
"""Tensors named in an error, of each kind."""


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or of another architecture."""


def locate(source: str | Path, component: str) -> Path:
    """The folder of one component (`unet`, `vae`, …) of `source`.

    source: a component's folder, a pipeline's folder, or a hub id (`owner/name`) that the local hub cache holds.
    Raises CheckpointError saying where it looked.
    """
    folder = Path(source)
    if not folder.is_dir():
        folder = _cached_snapshot(str(source))
    for candidate in (folder / component, folder):
        if (candidate / "config.json").is_file():
            return candidate
    raise CheckpointError(f"{folder}: neither {component}/config.json nor config.json is there")


def load_network(network_class: Any, folder: Path) -> Any:
    """A diffusers model with the weights of `folder`, at the precision they are stored in.

    Reads `config.json` and safetensors, whole, sharded or half precision (pickles are refused). Names and shapes are
    compared first. Raises CheckpointError naming the tensors that differ.
    """
    config = read_json(folder / "config.json")
    written_by = config.get("_class_name", network_class.__name__)
    if written_by not in {base.__name__ for base in network_class.__mro__}:
        raise CheckpointError(f"{folder / 'config.json'} is of a {written_by}; expected {network_class.__name__}")
    with torch.device("meta"):
        network = network_class.from_config({key: value for key, value in config.items() if not key.startswith("_")})
    files = weight_files(folder)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    check_shapes(expected, {name: shape for file in files for name, shape in stored_shapes(file).items()}, folder)
    tensors = {}
    for file in files:
        with safe_open(file, "pt") as stored:
            tensors.update({name: stored.get_tensor(name) for name in stored.keys()})  # noqa: SIM118  (not a dict)
    network.load_state_dict(tensors, assign=True)
    return network


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a component, several if it is sharded."""
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        pickles = ", ".join(sorted(path.name for path in folder.glob("*.bin")))
        hint = f"; {pickles} is a pickle, which is never read: convert it to safetensors" if pickles else ""
        raise CheckpointError(f"{folder}: no weights; expected {WEIGHTS[0]}{hint}")
    if path.suffix != ".json":
        return [path]
    names = sorted(set(read_json(path)["weight_map"].values()))
    shards = [folder / name for name in names]
    for shard in shards:
        if shard.parent != folder or not shard.is_file():
            raise CheckpointError(f"{path} names {shard.name}, which is not in {folder}")
    return shards


Shapes = Mapping[str, tuple[int, ...]]
"""Of tensors by name."""


def check_shapes(expected: Shapes, found: Shapes, source: Path) -> None:
    """Raise CheckpointError naming tensors that are missing, unknown or of another shape than the network's."""
    problems = {
        "missing": [f"{name} {expected[name]}" for name in expected if name not in found],
        "unknown": [f"{name} {found[name]}" for name in found if name not in expected],
        "of another shape": [
            f"{name} {found[name]}, expected {expected[name]}"
            for name in expected
            if name in found and found[name] != expected[name]
        ],
    }
    parts = [f"{len(names)} {kind} ({_some(names)})" for kind, names in problems.items() if names]
    if parts:
        raise CheckpointError(f"{source}: not the weights of this network: tensors {'; '.join(parts)}")


def _some(names: list[str]) -> str:
    return "; ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def stored_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes in a safetensors file. Raises CheckpointError for a damaged one."""
    try:
        with safe_open(file, "pt") as stored:
            return {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{file}: damaged: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """An object of a JSON file. Raises CheckpointError naming the file."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    return value


def _cached_snapshot(hub_id: str) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise CheckpointError(
            f"{hub_id!r} is neither a folder nor in the hub cache at {constants.HF_HUB_CACHE}; nothing is downloaded: "
            "put the files there, or name their folder"
        ) from error
