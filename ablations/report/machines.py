"""What a report must say where runs that are compared were made on unlike machines."""

from collections.abc import Mapping
from typing import Any

from ablations.plan import Graph
from svd_core.training.settings import ComputeSettings

ON_GPUS = ("pretrain_images", "pretrain_videos", "finetune", "train_phase", "sample", "sample_held_out", "score")
"""Stages whose results depend on where they ran; others draw and filter, the same everywhere."""


def unlike_machines(graph: Graph, manifests: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """
    A note if arms that are paired by a seed were made on unlike processors or by unlike PyTorch; else none.

    Runs repeat to the bit on one machine only. Elsewhere rounding differs, which training amplifies, so that a
    difference between such arms is partly one between machines.
    """
    makers = {key: maker(manifest) for key, manifest in manifests.items()}
    paired: dict[tuple[str, int], dict[str, str]] = {}
    for (arm, seed), roles in graph.runs.items():
        for role, key in roles.items():
            if key in makers and key.rpartition("-")[0] in ON_GPUS:
                paired.setdefault((role, seed), {})[arm] = makers[key]
    unlike = {role: found for (role, _), found in paired.items() if len(set(found.values())) > 1}
    if not unlike:
        return ()
    role, found = next(iter(unlike.items()))
    example = ", ".join(f"{arm} on {place}" for arm, place in found.items())
    return (
        f"Arms of one seed were made on unlike machines: {', '.join(unlike)} ({role}: {example}). Runs repeat to the "
        "bit on one machine only, so a difference between these arms may in part be one between the machines.",
    )


def maker(manifest: Mapping[str, Any]) -> str:
    """The processor that an artifact was made on, its GPU if it had one, the PyTorch, and how it was computed there."""
    machine = manifest["machine"]
    made = f"{machine.get('gpu', machine['cpu'])} with PyTorch {manifest['packages']['torch']}"
    plain = {"processes": 1, **ComputeSettings().model_dump()}
    unusual = {name: value for name, value in manifest.get("compute", {}).items() if value != plain[name]}
    return ", ".join([made, *(f"{name.replace('_', ' ')} {value}" for name, value in unusual.items())])
