"""One process of Stage II: SETTINGS COMPUTE (JSON both) SUBSET LATENTS IMAGES OUT [PREVIOUS]; RANK says which."""

import sys
from pathlib import Path

import torch

from svd_core.settings import VideoPretrainingSettings
from svd_core.training.execution import Execution, leave_group
from svd_core.training.settings import ExecutionSettings
from svd_core.training.stages import pretrain_videos

if __name__ == "__main__":
    torch.set_num_threads(1)
    settings, compute, *folders = sys.argv[1:]
    subset, latents, images, out, *before = (Path(folder) for folder in folders)
    pretrain_videos(
        VideoPretrainingSettings.model_validate_json(settings),
        subset,
        latents,
        images,
        out,
        previous=before[0] if before else None,
        execution=Execution.from_environment(ExecutionSettings.model_validate_json(compute)),
    )
    leave_group()
