import errno

import pytest

from ablations.failures import in_words, kind_of, kind_of_end


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (OSError(errno.EIO, "Input/output error"), "exception"),
        (MemoryError(), "out_of_memory"),
        (OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (ValueError("x"), "exception"),
    ],
)
def test_kinds_that_python_sees(error, kind):
    assert kind_of(error) == kind


@pytest.mark.parametrize(
    ("code", "output", "state", "kind"),
    [
        (137, "slurmstepd: error: Detected 1 oom_kill event in StepId=5.0.",
         "", "out_of_memory"),
        (137, "slurmstepd: error: Step 5.0 exceeded memory limit (600 > 512), being killed", "", "out_of_memory"),
        (0, "slurmstepd: error: *** STEP 5.0 ON n1 CANCELLED AT 2026-11-25 DUE TO TIME LIMIT ***", "", "time_limit"),
        (0, "slurmstepd: error: *** STEP 5.0 CANCELLED AT 2026-11-25 DUE TO NODE FAILURE ***", "", "node_failure"),
        (0, "slurmstepd: error: *** STEP 5.0 ON n1 CANCELLED AT 2026-11-25 ***", "", "cancelled"),
        (0, "", "TIMEOUT", "time_limit"),
        (0, "", "NODE_FAIL", "node_failure"),
        (28, "", "FAILED", "disk_full"),
        (70, "", "", "exception"),
        (69, "", "", "environment"),
        (137, "srun: error: node1: task 0: Killed", "", "killed"),
        (7, "", "", "killed"),
        (1, "ModuleNotFoundError: No module named 'torch'", "", "environment"),
    ],
)  # fmt: skip
def test_kinds_that_only_the_end_tells(code, output, state, kind):
    assert kind_of_end(code, output, state) == kind


def test_exit_status_in_words():
    assert in_words(137) == "signal 9"
    assert in_words(7) == "exit status 7"
