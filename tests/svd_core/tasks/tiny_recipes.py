"""Recipes whose networks and clips are as small as they get."""

import json
import shutil
from pathlib import Path
from typing import Any

from svd_core.tasks.settings import TrainingRecipe

PHASE = {"resolution": [16, 16], "batch_size": 2, "lr": 1e-3, "data": "zooms", "frames": 3, "steps": 3}
PHASES = (
    {**PHASE, "name": "images", "task": "images", "frames": 1, "objective": "v", "offset_noise": 0.1},
    {**PHASE, "name": "videos", "task": "text_to_video"},
    {**PHASE, "name": "image_to_video", "task": "image_to_video"},
    {**PHASE, "name": "lora", "task": "image_to_video", "trained": "lora", "lora_rank": 4, "lr": 1e-2},
)


def tiny_recipe(*phases: dict[str, Any], **changes: Any) -> TrainingRecipe:
    """Networks and clips as small as they get."""
    recipe = {
        "about": "test",
        "time_id_dim": 8,
        "network": {"block_out_channels": [32, 32], "num_attention_heads": [2, 2]},
        "conditioners": {"dim": 32},
        "autoencoder": {"block_out_channels": [32, 32], "steps": 3},
        "data": {"zooms": {"render": "camera_moves", "move": "zoom", "count": 5, "frames": 4, "resolution": 16}},
        "phases": {phase["name"]: phase for phase in phases},
        "generation": {"steps": 3},
        **changes,
    }
    return TrainingRecipe.model_validate_json(json.dumps(recipe))


def copied(run: Path, out: Path, *parts: str) -> None:
    """Put parts of a run where another one goes on from them."""
    for part in parts:
        shutil.copytree(run / part, out / part)
