"""One process of a small training: OUT STRATEGY MICRO_BATCH STEPS [checkpointing | stop | look].

RANK and so on say which. With `stop` the last process alone is asked to stop in its seventh step; with `look` the
average is sampled after step 25, as for a grid.
"""

import contextlib
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from svd_core.diffusion import loss
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.tasks.settings import Phase
from svd_core.training import interruption
from svd_core.training.batches import Batch
from svd_core.training.execution import Execution, leave_group, whole
from svd_core.training.loop import train
from svd_core.training.settings import ExecutionSettings
from svd_core.training.state import TrainingState

out, strategy, micro, steps, *rest = sys.argv[1:]
torch.set_num_threads(1)
torch.manual_seed(0)
settings = ExecutionSettings.model_validate(
    {"strategy": strategy, "micro_batch": int(micro) or None, "checkpointing": "checkpointing" in rest}
)
execution = Execution.from_environment(settings)
network = SpatioTemporalUNet(
    in_channels=4,
    block_out_channels=(32, 32),
    down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
    up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    num_attention_heads=(2, 2),
    cross_attention_dim=8,
    layers_per_block=1,
    addition_time_embed_dim=8,
    projection_class_embeddings_input_dim=16,
    norm_num_groups=8,
)
phase = Phase(
    name="test", task="text_to_video", data="none", resolution=(4, 4), frames=3, steps=int(steps), batch_size=4, lr=1e-4
)


def batch_at(samples: range) -> Batch:
    if "stop" in rest and samples.start >= 6 * phase.batch_size and execution.rank == execution.world - 1:
        interruption.request()

    def values(name: int, *shape: int) -> torch.Tensor:
        draws = [torch.randn(shape, generator=torch.Generator().manual_seed(100 * index + name)) for index in samples]
        return torch.stack(draws)

    return Batch(
        clean=values(0, 3, 4, 4, 4),
        noise=values(1, 3, 4, 4, 4),
        sigma=values(2).exp(),
        text=values(3, 2, 8),
        time_ids=values(4, 2) * 10,
        clip_ids=[str(index) for index in samples],
    )


def objective(called: nn.Module, batch: Batch) -> torch.Tensor:
    def raw(x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return called(x, level, batch.text, batch.time_ids, return_dict=False)[0]

    return loss(raw, batch.clean, batch.noise, batch.sigma)


class Look:
    def begin(self, state: TrainingState) -> None:
        pass

    def line(self, state: TrainingState) -> dict[str, float]:
        with torch.no_grad(), state.averaged():
            objective(state.network, batch_at(range(2)))
        return {}


state = TrainingState.start(network, lr=phase.lr, weight_decay=0.01, execution=execution)
with contextlib.suppress(interruption.Interrupted):
    train(phase, state, objective, batch_at, Path(out), execution=execution, watch=Look() if "look" in rest else None)
gradients = {name: whole(value.grad) for name, value in network.named_parameters()}
if execution.rank == 0:
    save_file(gradients, Path(out) / "gradients.safetensors")
leave_group()
