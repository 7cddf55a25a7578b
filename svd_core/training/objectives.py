"""What training minimises: the network's error under continuous noise levels or under a discrete schedule."""

from collections.abc import Callable

import torch
from torch import nn

from svd_core.diffusion import DiscreteSchedule, discrete_loss, loss
from svd_core.settings import Objective
from svd_core.training.batches import Batch


def objective_of(
    objective: Objective, schedule: DiscreteSchedule | None, *, video: bool
) -> Callable[[nn.Module, Batch], torch.Tensor]:
    """Losses (B,) of a batch under a network, which reads micro-conditions if it is a `video` network."""

    def losses(called: nn.Module, batch: Batch) -> torch.Tensor:
        conditions = (batch.text, batch.time_ids) if video else (batch.text,)

        def network(x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
            x = x if batch.concat is None else torch.cat([x, batch.concat], 2)
            output: torch.Tensor = called(x, level, *conditions, return_dict=False)[0]
            return output

        if objective == "continuous" or schedule is None or batch.step is None:
            return loss(network, batch.clean, batch.noise, batch.sigma)
        return discrete_loss(network, batch.clean, batch.noise, batch.step, schedule=schedule, target=objective)

    return losses
