from pathlib import Path

import pytest
from tiny_recipes import PHASES, tiny_recipe

from svd_core.training.execution import Execution
from svd_core.training.phases import run_training


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four phases: images, text-to-video, image-to-video and a LoRA on it."""
    out = tmp_path_factory.mktemp("trained")
    run_training(tiny_recipe(*PHASES), out, Execution())
    return out
