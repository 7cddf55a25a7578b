"""Settings of how a training is computed and watched, never of what is learnt. Free of torch."""

from typing import Literal

from pydantic import Field

from svd_core.settings import Precision, Settings


class ComputeSettings(Settings):
    """Resources: they change rounding, never what is learnt from which sample. micro_batch is per process.

    checkpointing: recompute activations in the backward pass. compiled: compile the repeated blocks of the network.
    strategy: `ddp` keeps the whole network in every process, `fsdp` a share of each tensor.
    """

    micro_batch: int | None = Field(None, ge=1)
    checkpointing: bool = False
    compiled: bool = False
    strategy: Literal["ddp", "fsdp"] = "ddp"


class ExecutionSettings(ComputeSettings):
    """How a training is computed. deterministic: the same to the bit each time on a GPU too, for some of its speed."""

    precision: Precision = "float32"
    deterministic: bool = False


class WatchSettings(Settings):
    """What is recorded of a training beside what it makes. grid_every: steps between sample grids of so many clips."""

    grid_every: int | None = Field(None, ge=1)
    grid_clips: int = Field(4, ge=1)
