"""The ways in which a stage can end without a result, told apart."""

import errno
import re

KINDS = {
    "exception": "its code raised",
    "out_of_memory": "it ran out of memory",
    "disk_full": "the disk or the quota is full",
    "environment": "the node's packages are not those of the submission",
    "killed": "its process was killed or exited by itself",
    "time_limit": "it ran into its time limit",
    "node_failure": "its node went down",
    "cancelled": "it was cancelled",
    "never_started": "what it waited for failed",
}
PASSING = ("out_of_memory", "disk_full", "environment", "killed", "time_limit", "node_failure", "cancelled")
"""Kinds that may not come again when the same is tried again."""
EXIT_CODES = {"exception": 70, "out_of_memory": 12, "disk_full": 28, "environment": 69}
"""Exit statuses of a task by kind: SLURM keeps them even where the store's disk is full."""
PREEMPTED = 75

MARKS = (
    ("out_of_memory", r"oom[-_ ]kill|exceeded memory limit|out of memory"),
    ("time_limit", r"DUE TO TIME LIMIT"),
    ("node_failure", r"DUE TO NODE FAILURE|NODE FAIL"),
    ("environment", r"ModuleNotFoundError|command not found"),
    ("cancelled", r"CANCELLED AT"),
)
"""What SLURM writes into a job's output when it ends it."""

STATES = {
    "OUT_OF_MEMORY": "out_of_memory",
    "TIMEOUT": "time_limit",
    "DEADLINE": "time_limit",
    "NODE_FAIL": "node_failure",
    "BOOT_FAIL": "node_failure",
    "CANCELLED": "cancelled",
}
"""SLURM's own words for a job's end; FAILED is left out, as its exit status says more."""


def kind_of(error: BaseException) -> str:
    """The kind of a failure that Python saw."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk_full"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out_of_memory"
    return "exception"


def kind_of_end(code: int, output: str, state: str = "") -> str:
    """The kind of an end without a word: from what SLURM wrote into the output, its state, and the exit status."""
    for kind, mark in MARKS:
        if re.search(mark, output):
            return kind
    if state in STATES:
        return STATES[state]
    by_code = {number: kind for kind, number in EXIT_CODES.items()}
    return by_code.get(code, "killed")


def in_words(code: int) -> str:
    """An exit status as a person would say it: 137 is death by signal 9."""
    return f"signal {code - 128}" if code > 128 else f"exit status {code}"
