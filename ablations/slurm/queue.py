"""SLURM's own commands, asked as a second opinion: what is in the queue, how a job ended, which names are valid."""

import getpass
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ablations.errors import AblateError

PATIENCE_S = 20.0
KEPT_S = 5.0


class QueueError(AblateError):
    """SLURM gave no answer, or refused; its own words are in the message."""


@dataclass(frozen=True)
class Queued:
    """One array task as squeue shows it. `reason` is SLURM's for a job that waits; `job` the task's own number."""

    job: str
    name: str
    array: str
    index: int
    state: str
    reason: str
    node: str
    seconds: float

    @property
    def id(self) -> str:
        """The task as scancel and scontrol know it."""
        return f"{self.array}_{self.index}"


def ask(*command: str, patience_s: float = PATIENCE_S) -> str:
    """The output of one of SLURM's commands. Raises QueueError with its message, or if it takes too long."""
    if shutil.which(command[0]) is None:
        raise QueueError(f"there is no {command[0]} on this machine: run this on a login node of the cluster")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=patience_s)
    except subprocess.TimeoutExpired as error:
        raise QueueError(f"{command[0]} did not answer within {patience_s:g} s") from error
    except subprocess.CalledProcessError as error:
        raise QueueError(f"{command[0]}: {error.stderr.strip() or error.returncode}") from error
    return done.stdout


def queued(names: Iterable[str]) -> list[Queued]:
    """Every task in the queue, waiting or running, of the arrays with these names."""
    wanted = sorted(set(names))
    if not wanted:
        return []
    options = (f"--name={','.join(wanted)}", "--format=%A|%j|%F|%K|%T|%r|%N|%M")
    tasks = []
    for line in ask("squeue", "--noheader", "--array", "--all", *options).splitlines():
        job, name, array, index, state, reason, node, used = line.strip().split("|")
        if index.isdigit():
            tasks.append(Queued(job, name, array, int(index), state, reason, node, seconds(used)))
    return tasks


def seconds(used: str) -> float:
    """SLURM's [days-][hours:]minutes:seconds as seconds; 0 where it knows none."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", used)
    if not match:
        return 0.0
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + rest)


class Living:
    """Which jobs are on a node just now, asked at most every few seconds however many ask."""

    def __init__(self) -> None:
        self.asked = float("-inf")
        self.jobs: frozenset[str] | None = None

    def __call__(self, job: str) -> bool:
        """Whether a job (by its own number) is running. A queue that gives no answer is taken for yes."""
        if time.monotonic() - self.asked > KEPT_S:
            try:
                states = "RUNNING,COMPLETING,SUSPENDED,CONFIGURING,STOPPED,SIGNALING,STAGE_OUT"
                self.jobs = frozenset(ask("squeue", "--noheader", "--all", f"--states={states}", "--format=%A").split())
            except QueueError:
                self.jobs = None
            self.asked = time.monotonic()
        return self.jobs is None or job in self.jobs


lives = Living()


def ended(tasks: Mapping[str, str]) -> dict[str, str]:
    """
    How array tasks ended, by task, as far as anybody knows. `tasks` are the names of their arrays.

    The controller remembers for some minutes, the accounting for ever: but it may be slow, or there is none.
    """
    found: dict[str, str] = {}
    names, ids = ",".join(sorted(set(tasks.values()))), ",".join(sorted({task.partition("_")[0] for task in tasks}))
    for command in (
        ("squeue", "--noheader", "--array", "--all", "--states=all", f"--name={names}", "--format=%F_%K|%T"),
        ("sacct", "--noheader", "--parsable2", "--allocations", f"--jobs={ids}", "--format=JobID,State"),
    ):
        if tasks.keys() <= found.keys():
            break
        try:
            said = ask(*command, patience_s=5.0)
        except QueueError:
            continue
        found = dict(re.findall(r"^(\w+)\|(\w+)", said, re.MULTILINE)) | found
    return found


def valid_names(field: str) -> list[str]:
    """The names that the cluster knows for a resource: partitions, the user's accounts, qualities of service."""
    user = getpass.getuser()
    association = ("sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}")
    commands = {
        "partition": ("sinfo", "--noheader", "--format=%R"),
        "account": (*association, "format=account"),
        "qos": (*association, "format=qos"),
        "constraint": ("sinfo", "--noheader", "--format=%f"),
    }
    try:
        answer = ask(*commands[field]) if field in commands else ""
    except QueueError:
        return []
    return sorted({word for word in re.split(r"[\s,]+", answer) if word})


def largest_array() -> int:
    """MaxArraySize: indices of an array stay below it."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"))
    return int(found.group(1)) if found else 1001
