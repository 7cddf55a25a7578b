"""Jobs of several processes: torch.distributed set up from SLURM's variables, and who makes what."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ablations.artifacts import Store
from ablations.job import make, perform, read_node
from ablations.stage import TRAINED
from svd_core.progress import silent

PORTS = range(20_000, 60_000)


def variables(slurm: Mapping[str, str]) -> dict[str, str]:
    """
    What torch.distributed reads, from what SLURM gives every task.

    The address is the first node's own, so no name has to resolve; the port follows from the job's number, so that all
    nodes agree without asking each other.
    """
    tasks, nodes = int(slurm["SLURM_NTASKS"]), int(slurm.get("SLURM_JOB_NUM_NODES", "1"))
    return {
        "MASTER_ADDR": slurm["SLURM_LAUNCH_NODE_IPADDR"],
        "MASTER_PORT": str(PORTS[int(slurm["SLURM_JOB_ID"]) % len(PORTS)]),
        "RANK": slurm["SLURM_PROCID"],
        "WORLD_SIZE": str(tasks),
        "LOCAL_RANK": slurm["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": str(tasks // nodes),
    }


@contextmanager
def process_group() -> Iterator[int]:
    """Join the job's other tasks; gives this one's rank. NCCL for GPUs' tensors, gloo for the CPU's."""
    import torch
    from torch import distributed

    from svd_core.training.execution import PATIENCE, leave_group

    os.environ.update(variables(os.environ))
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield distributed.get_rank()
    finally:
        leave_group()


def make_together(store: Store, key: str, rank: int) -> None:
    """Make one artifact. The first rank holds the claim, reports and finishes; the others train when it does."""
    if rank:
        if told():
            perform(store, read_node(store, key), silent)
        return
    begun = False

    def begin() -> None:
        nonlocal begun
        if begun := read_node(store, key).stage in TRAINED:
            tell(True)

    make(store, key, begin)
    if not begun:
        tell(False)


def tell(work: bool) -> None:
    """Say to the other ranks whether there is work."""
    from torch import distributed

    distributed.broadcast_object_list([work], src=0)


def told() -> bool:
    """Wait for the first rank's word."""
    from torch import distributed

    word = [False]
    distributed.broadcast_object_list(word, src=0)
    return word[0]
