"""One process of a training: `python rank_of_a_training.py RECIPE.json RUN`, with torchrun's variables."""

import sys
from pathlib import Path

from svd_core.tasks.settings import TrainingRecipe
from svd_core.training.execution import Execution, leave_group
from svd_core.training.phases import run_training

if __name__ == "__main__":
    recipe = TrainingRecipe.model_validate_json(Path(sys.argv[1]).read_text())
    run_training(recipe, Path(sys.argv[2]), Execution.from_environment(recipe.execution))
    leave_group()
