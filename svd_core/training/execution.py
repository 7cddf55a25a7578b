"""How a step is computed: on how many processes, in which pieces, at which precision. Never what is learnt from it.

The samples of a step are dealt to the processes in runs of equal length and go through the network in micro-batches.
Gradients are averaged over all of them, so that any number of processes and pieces gives the same step up to rounding.
"""

import contextlib
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import nn

from svd_core.device import best_device, repeatable_device
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.settings import Precision
from svd_core.training.batches import Batch
from svd_core.training.interruption import Interrupted
from svd_core.training.settings import ExecutionSettings

BatchAt = Callable[[range], Batch]
"""The samples of these numbers, counted from the start of training."""

DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}

PATIENCE = timedelta(hours=12)
"""How long processes wait for another, such as the first, which alone renders clips and makes the frozen networks."""

STEP_PATIENCE = timedelta(minutes=30)
"""The same while steps are taken, where the longest wait is for a checkpoint's disk: one that died costs no more."""

LET_GO_S = 0.5
"""What gloo's threads get for letting go of tensors: microseconds, unless the machine is busy."""

Objective = Callable[[nn.Module, Batch], torch.Tensor]
"""Losses (B,) of a batch under the network, which is called as it is passed: a wrapped one synchronises gradients."""


@dataclass(frozen=True)
class Execution:
    """One process of `world`, by default the only one.

    strategy: "ddp" keeps the whole network in every process, "fsdp" a share of each tensor (FSDP2). micro_batch:
    samples that go through the network at once, by default a process's whole share of a step. precision: of the
    forward pass; weights, gradients and losses are float32. checkpointing: recompute activations in the backward pass.
    compiled: compile the blocks that a network repeats, each shape of them once.
    """

    rank: int = 0
    world: int = 1
    strategy: Literal["ddp", "fsdp"] = "ddp"
    micro_batch: int | None = None
    precision: torch.dtype = torch.float32
    checkpointing: bool = False
    compiled: bool = False
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def from_environment(cls, settings: ExecutionSettings) -> "Execution":
        """One process, or the one of several that RANK and WORLD_SIZE name (torchrun and submitit set them)."""
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        device = repeatable_device() if settings.deterministic else best_device()
        cuda = device.type == "cuda"
        if cuda:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
            torch.cuda.set_device(device)
            if settings.precision == "float32":
                torch.backends.cudnn.allow_tf32 = False  # or convolutions would be of 10 bits
        if world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
        how = (settings.micro_batch, DTYPES[settings.precision], settings.checkpointing, settings.compiled)
        return cls(rank, world, settings.strategy, *how, device)

    def wrapped(self, network: nn.Module) -> nn.Module:
        """The network as it is called in training. FSDP shards the parameters in place: build the optimiser after."""
        if self.checkpointing:
            network.enable_gradient_checkpointing()  # type: ignore[operator]
        if self.compiled:
            compile_blocks(network)
        if self.world == 1:
            return network
        if self.strategy == "ddp":
            from torch.nn.parallel import DistributedDataParallel

            # attention to a single token has no gradient for its queries and keys
            return DistributedDataParallel(network, find_unused_parameters=True)
        from torch.distributed.fsdp import fully_shard

        # blocks return views, which would be a danger if anything changed them in place; nothing does
        warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
        for child in network.modules():
            if type(child).__name__ in SHARDED_BLOCKS:
                fully_shard(child)
        fully_shard(network, reshard_after_forward=True)  # also after a sample grid, whose weights are others
        return network

    def micro_batches(self, samples: range) -> list[range]:
        """This process's samples of a step, in pieces. Raises ValueError when they do not divide evenly."""
        share, rest = divmod(len(samples), self.world)
        pieces, left = divmod(share, self.micro_batch or share or 1)
        if rest or left or not pieces:
            raise ValueError(
                f"a batch of {len(samples)} cannot be dealt evenly to {self.world} processes "
                f"in micro-batches of {self.micro_batch or 'any size'}"
            )
        start, size = self.rank * share, share // pieces
        return [samples[start + number * size : start + (number + 1) * size] for number in range(pieces)]

    def backward(
        self, network: nn.Module, objective: Objective, batch_at: BatchAt, samples: range
    ) -> list[tuple[Batch, torch.Tensor]]:
        """Accumulate the gradient of the mean loss over `samples`; this process's batches and their losses (B,)."""
        parts, seen = self.micro_batches(samples), []
        for number, part in enumerate(parts):
            batch = batch_at(part)
            with self._synchronising(network, number == len(parts) - 1):
                with autocast(batch.clean.device, self.precision):
                    losses = objective(network, batch).float()
                (losses.mean() / len(parts)).backward()
            seen.append((batch, losses.detach()))
        return seen

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def told(self, fact: bool) -> bool:
        """What the first process found, which other machines may not see yet."""
        return bool(self.summed(torch.tensor(float(fact and self.rank == 0), device=self.device)) > 0)

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            dist.barrier()

    @contextlib.contextmanager
    def in_step(self) -> Iterator[None]:
        """Within, all processes do the same at the same time, and one that does not come is given up sooner."""
        if self.world == 1:
            yield
            return
        dist.set_timeout(STEP_PATIENCE)
        try:
            yield
        finally:
            dist.set_timeout(PATIENCE)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Work after which all processes go on, or none: one that failed leaves no other waiting for it.

        Nothing in it may wait for other processes.
        """
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
            if self.world > 1:
                traceback.print_exc()  # the others may take a while to get here
        stopped = isinstance(error, Interrupted)
        found = torch.tensor([error is not None and not stopped, stopped], dtype=torch.float32, device=self.device)
        failed, interrupted = self.summed(found).tolist()
        if error is not None:
            raise error
        if failed:
            raise RuntimeError("another process failed; its log says why")
        if interrupted:
            raise Interrupted("another process was stopped")

    @contextlib.contextmanager
    def _synchronising(self, network: nn.Module, last: bool) -> Iterator[None]:
        """Exchange gradients after the last micro-batch only."""
        if self.world == 1 or last:
            if self.world > 1 and self.strategy == "fsdp":
                network.set_requires_gradient_sync(True)  # type: ignore[operator]
            yield
        elif self.strategy == "ddp":
            with network.no_sync():  # type: ignore[operator]
                yield
        else:
            network.set_requires_gradient_sync(False)  # type: ignore[operator]
            yield


def leave_group() -> None:
    """Leave the process group, if there is one, as the last thing that a process does with tensors.

    Gloo's threads let go of what was exchanged after the exchange has ended, and one that does so while Python ends
    aborts the process. Destroying the group does not end the threads: what FSDP caches keeps it alive.
    """
    if dist.is_initialized():
        dist.destroy_process_group()
        time.sleep(LET_GO_S)


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[Any]:
    """Within, networks compute at a precision, whatever that of their weights."""
    return contextlib.nullcontext() if precision == torch.float32 else torch.autocast(device.type, precision)


SHARDED_BLOCKS = frozenset(
    [
        "CrossAttnDownBlockSpatioTemporal",
        "DownBlockSpatioTemporal",
        "UNetMidBlockSpatioTemporal",
        "UpBlockSpatioTemporal",
        "CrossAttnUpBlockSpatioTemporal",
    ]
)
"""Modules that FSDP gathers one after the other."""


COMPILED_BLOCKS = frozenset(["Transformer2DModel", "Transformer", "ResnetBlock2D", "ResBlock"])
"""Modules that image and video networks repeat. ResBlock holds a ResnetBlock2D, which its own graph takes in."""
COMPILER = "inductor"
MOST_SHAPES = 64
"""Of one kind of block: SVD's residual blocks have about twenty, torch gives up after eight."""


def compile_blocks(network: nn.Module) -> None:
    """Compile each repeated block by itself: what is alike is compiled once, in a fraction of the whole's time."""
    torch._dynamo.config.recompile_limit = MOST_SHAPES
    # by itself the compiler takes convolutions to half as many channels out of the layout that all else is in
    torch._inductor.config.force_layout_optimization = True
    for module in network.modules():
        if isinstance(module, SpatioTemporalUNet):
            module.channels_last = module.device.type == "cuda"
        if type(module).__name__ in COMPILED_BLOCKS:
            module.compile(backend=COMPILER, dynamic=False)


def whole(value: torch.Tensor) -> torch.Tensor:
    """All of a tensor, gathered from every process if it is sharded: all of them must call this."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def local(value: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that this process holds."""
    return value.to_local() if hasattr(value, "to_local") else value


def like(value: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """A whole tensor sharded as `reference` is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(reference, DTensor):
        return value
    return distribute_tensor(value, reference.device_mesh, reference.placements)
