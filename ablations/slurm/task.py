"""
What one task of an array does: `python -m ablations.slurm.task STORE NAME`, started by srun on every node of the job.

USR2 (the time limit is near, or `scancel --signal=USR2`): stop at the next step, keep the state, requeue this task.
SIGTERM (SLURM preempts the job and requeues it by itself, or somebody cancelled it): the same without requeueing; a
preempted job then waits for its end, since SLURM requeues only what is still there.
"""

import os
import re
import shlex
import signal
import sys
import time
import traceback
from pathlib import Path
from tempfile import gettempdir
from types import FrameType

from ablations.artifacts import Store
from ablations.failures import EXIT_CODES, PREEMPTED, kind_of
from ablations.job import make
from ablations.slurm import attempts
from ablations.slurm.orders import Orders, home, over, read_orders
from ablations.slurm.queue import QueueError, ask
from ablations.slurm.snapshot import missing_packages
from ablations.stage import COMPUTE
from svd_core.training.interruption import Interrupted, request

PATIENCE = 0.5
"""The share of the notice after which work that does not look for requests is cut off: only training does."""

STAY_S = 2.0


class Notice:
    """The signals that tell a task to stop. `requeue` says whether it has to put itself back into the queue."""

    def __init__(self, notice_s: float) -> None:
        self.patience_s = notice_s * PATIENCE
        self.requeue = False
        signal.signal(signal.SIGUSR2, self._stop)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGALRM, self._cut)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self.requeue = signum == signal.SIGUSR2
        print(f"told to stop by {signal.Signals(signum).name}", flush=True)
        request()
        signal.setitimer(signal.ITIMER_REAL, self.patience_s)

    def _cut(self, signum: int, frame: FrameType | None) -> None:
        raise Interrupted("cut off in mid-work; it continues from what is in its folder")


def main(root: str, name: str) -> int:
    """Run this task's orders. Returns its exit status."""
    store = Store(Path(root))
    if over(home(store, name)):
        print(f"{name} was given up and, if need be, submitted anew: nothing to do")
        return 0
    orders, index = read_orders(store, name), int(os.environ["SLURM_ARRAY_TASK_ID"])
    first = os.environ.get("SLURM_PROCID", "0") == "0"
    notice = Notice(float(orders.notice_s))
    prepare(orders.compute)
    if first:
        attempts.begin(store, name, index)
    problems = missing_packages(orders.packages)
    if problems:
        return failed(store, orders, index, f"{os.environ.get('SLURMD_NODENAME')}: {'; '.join(problems)}")
    try:
        work(store, orders, index)
    except Interrupted as stop:
        print(f"stopped: {stop}", flush=True)
        signal.setitimer(signal.ITIMER_REAL, 0)
        return leave(store, name, index, requeue=notice.requeue) if first else 0
    except Exception as error:
        if orders.commands:  # a stage has told of it in full
            traceback.print_exc()
        return EXIT_CODES[kind_of(error)]
    return 0


def prepare(compute: str) -> None:
    """The process's surroundings: caches of compiled code on the node's disk, cores as SLURM gave them, `compute`."""
    own = Path(gettempdir()) / f"ablate-{os.getuid()}"
    for variable, folder in (("TORCHINDUCTOR_CACHE_DIR", "inductor"), ("TRITON_CACHE_DIR", "triton")):
        os.environ.setdefault(variable, str(own / folder))
    os.environ["ABLATE_CORES"] = os.environ.get("SLURM_CPUS_PER_TASK", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ[COMPUTE] = compute


def work(store: Store, orders: Orders, index: int) -> None:
    """Make the task's stages, or run its command."""
    keys, command = orders.tasks.get(index, []), orders.commands.get(index, [])
    what = ", ".join(keys) or f"ablate {shlex.join(command)}"
    print(f"{time.strftime('%F %T')} {os.environ.get('SLURMD_NODENAME')}: {what}", flush=True)
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        from ablations.slurm.ranks import make_together, process_group

        with process_group() as rank:
            for key in keys:
                make_together(store, key, rank)
            run_command(store, command)
    else:
        for key in keys:
            make(store, key)
        run_command(store, command)


def run_command(store: Store, words: list[str]) -> None:
    """Run an `ablate` command in this process, which is the one that gets the signals."""
    if words:
        from ablations.cli import app

        os.environ["ABLATE_STORE"] = str(store.root)
        app(words, standalone_mode=False)


def leave(store: Store, name: str, index: int, *, requeue: bool) -> int:
    """End an interrupted attempt, back in the queue if SLURM does not see to that."""
    attempts.end(store, name, index, "preempted")
    if requeue:
        try:
            ask("scontrol", "requeue", attempts.task_id(), patience_s=60)
        except QueueError as error:
            print(f"not requeued: {error}; `ablate run` submits it again", flush=True)
    else:
        stay()
    return PREEMPTED


def stay() -> None:
    """
    Wait for SLURM to take the node: a job that ends by itself within its grace time has failed and is not requeued.

    Not so if it was cancelled, nor once it is back in the queue: then there is nothing to wait for.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(PREEMPTED))
    while being_preempted():
        time.sleep(STAY_S)


def being_preempted() -> bool:
    """Whether SLURM has chosen this job for preemption and still lets it run."""
    try:
        said = ask("scontrol", "--oneliner", "show", "job", os.environ["SLURM_JOB_ID"])
    except QueueError:
        return False
    return "JobState=RUNNING" in said and re.search(r"PreemptTime=\d", said) is not None


def failed(store: Store, orders: Orders, index: int, error: str) -> int:
    """Say that the node is not fit to run the stage."""
    from ablations.job import StatusFile

    print(error, file=sys.stderr)
    if orders.tasks[index]:
        StatusFile(store, orders.tasks[index][-1]).write("failed", error=error, kind="environment")
    return EXIT_CODES["environment"]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
