"""Handing arrays to SLURM through submitit."""

import json
import re
import shlex
from collections.abc import Mapping

import submitit

from ablations.artifacts import Store
from ablations.cluster import Resources, SlurmCluster, complaint
from ablations.errors import PlanError
from ablations.slurm.orders import Orders, home, note_job
from ablations.slurm.queue import QueueError, ask, valid_names

REFUSALS = {
    "account": r"account",
    "partition": r"partition",
    "qos": r"\bqos\b",
    "constraint": r"feature",
    "exclude": r"node name",
    "time_min": r"time limit",
}
"""What SLURM's refusals speak of, by the field that they are about; accounts before partitions where both are named."""


class Executor(submitit.SlurmExecutor):
    """
    submitit's executor with a worker of our own.

    submitit pickles a task's payload and moves it to its place after sbatch: a submitter killed in between leaves a job
    without orders. Here the orders are there before sbatch; and its handler for USR2 raises in mid-step and ignores
    SIGTERM, where ours set a flag (see ablations.slurm.task).
    """

    def __init__(self, store: Store, orders: Orders, cluster: SlurmCluster) -> None:
        super().__init__(home(store, orders.name), python=cluster.python)
        self.store, self.orders = store, orders
        self.update_parameters(**parameters(orders, cluster, self._module("ended")))
        self.parameters["map_count"] = len(orders.tasks)

    @property
    def _submitit_command_str(self) -> str:
        return self._module("task")

    def _module(self, name: str) -> str:
        """The shell line that runs one of our modules on a node."""
        return f"{self.python} -u -m ablations.slurm.{name} {shlex.quote(str(self.store.root))} {self.orders.name}"

    def script(self) -> str:
        """The sbatch script."""
        return str(self._make_submission_file_text(self._submitit_command_str, ""))

    def send(self) -> str:
        """One sbatch call; returns the array's id."""
        try:
            job_id = str(self._submit_command(self._submitit_command_str).job_id)
        except submitit.core.utils.FailedJobError as error:
            raise QueueError(str(error).strip()) from error
        note_job(self.store, self.orders.name, job_id)
        return job_id


def parameters(orders: Orders, cluster: SlurmCluster, ended: str) -> dict[str, object]:
    """An array's resources in submitit's words."""
    wanted = Resources.model_validate_json(json.dumps(orders.resources))
    plain = ("partition", "account", "qos", "constraint", "exclude", "nodes")
    values = {name: getattr(wanted, name) for name in plain}
    more: dict[str, object] = {"array": indices(list(orders.tasks), wanted.parallel), "requeue": True}
    if orders.dependency:
        more |= {"dependency": orders.dependency, "kill-on-invalid-dep": "yes"}
    return {
        **{name: value for name, value in values.items() if value is not None},
        **({"gpus_per_node": wanted.gpus} if wanted.gpus else {}),
        **({"mem": f"{round(wanted.mem_gb * 1024)}M"} if wanted.mem_gb else {}),
        "job_name": orders.name,
        "ntasks_per_node": wanted.tasks,
        "cpus_per_task": wanted.cpus,
        "time": wanted.time_min,
        "signal_delay_s": cluster.notice_s,
        "stderr_to_stdout": True,
        "setup": [f"export PYTHONPATH={shlex.quote(orders.snapshot)}", *wanted.setup],
        # bash sees only srun's exit status; a task that died without a word is judged by it
        "teardown": ["code=$?", f"{ended} $code", "exit $code", ""],
        # srun does not take this from sbatch any more (SLURM 22.05)
        "srun_args": [f"--cpus-per-task={wanted.cpus}"],
        "additional_parameters": more,
        "wckey": None,
    }


def indices(numbers: list[int], parallel: int) -> str:
    """An array's indices as sbatch takes them, runs shortened: `0-3,7%256`."""
    parts: list[str] = []
    start = previous = numbers[0]
    for number in [*numbers[1:], -1]:
        if number != previous + 1:
            parts.append(f"{start}" if start == previous else f"{start}-{previous}")
            start = number
        previous = number
    return f"{','.join(parts)}%{min(parallel, len(numbers))}"


def rehearse(executor: Executor, cluster_name: str) -> None:
    """Have SLURM judge an array without submitting it; its refusal names the cluster file's line and valid names."""
    orders = executor.orders
    path = executor.store.folder("slurm") / f".{orders.name}.rehearsal"
    lines = [line for line in executor.script().splitlines() if not line.startswith("#SBATCH --dependency")]
    path.write_text("\n".join(lines) + "\n")
    try:
        ask("sbatch", "--test-only", str(path))
    except QueueError as error:
        raise refusal(str(error), orders, cluster_name) from error
    finally:
        path.unlink()


def refusal(message: str, orders: Orders, cluster_name: str) -> Exception:
    """SLURM's refusal as an error at a line of the cluster file."""
    line = "; ".join(re.sub(r"^(sbatch: |error: )+", "", text) for text in message.splitlines())
    said = f"SLURM refuses {orders.stage}: {line}"
    field = next((name for name, words in REFUSALS.items() if re.search(words, line, re.IGNORECASE)), None)
    if field is not None:
        names = valid_names(field)
        return complaint(cluster_name, orders.stage, field, said + (f"; valid: {', '.join(names)}" if names else ""))
    if re.search(r"node configuration|gres|memory|cpu", line, re.IGNORECASE):
        return complaint(cluster_name, orders.stage, "gpus" if orders.gpus else "mem_gb", said + largest_nodes())
    return PlanError(said)


def largest_nodes() -> str:
    """What the cluster's nodes have, for a reader whose request no node can meet."""
    try:
        kinds = ask("sinfo", "--noheader", "--format=%P: %D nodes with %c CPUs, %m MB, %G").splitlines()
    except QueueError:
        return ""
    return "; there are " + "; ".join(sorted({" ".join(kind.split()) for kind in kinds}))


def roll_back(job_ids: Mapping[str, str], error: BaseException) -> None:
    """Take back what this call submitted before it failed."""
    if job_ids:
        ask("scancel", *job_ids.values())
    if isinstance(error, QueueError):
        raise PlanError(f"{error}\nNothing was left submitted.") from error
