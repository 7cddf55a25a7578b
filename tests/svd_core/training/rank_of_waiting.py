"""One of two processes, of which the second comes late to a wait between trainings, and to one in a step."""

import sys
import time
from datetime import timedelta

from svd_core.training import execution
from svd_core.training.settings import ExecutionSettings

execution.STEP_PATIENCE = timedelta(seconds=2)
group = execution.Execution.from_environment(ExecutionSettings())
for _ in range(2):
    group.wait()
    time.sleep(4 * group.rank)
    group.wait()
    with group.in_step():
        group.wait()
print("was waited for", file=sys.stderr)
with group.in_step():
    time.sleep(8 * group.rank)
    group.wait()
