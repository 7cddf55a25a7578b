"""One of two processes, of which the first leaves while a thread of gloo's is letting go of a tensor."""

import sys
import threading
import time

import torch
import torch.distributed as dist
from torch import nn

from svd_core.training.execution import Execution, leave_group
from svd_core.training.settings import ExecutionSettings

begun = threading.Event()


class Slow:
    def __del__(self) -> None:
        print("let go of by the main thread:", threading.current_thread() is threading.main_thread(), file=sys.stderr)
        begun.set()
        time.sleep(0.1)


execution = Execution.from_environment(ExecutionSettings(strategy="fsdp"))
execution.wrapped(nn.Linear(2, 2))
tensor = torch.ones(3)
if execution.rank == 0:
    tensor.held = Slow()  # type: ignore[attr-defined]
    work = dist.all_reduce(tensor, async_op=True)
    del tensor, work
    begun.wait()
else:
    time.sleep(0.5)
    dist.all_reduce(tensor)
leave_group()
