import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2

from svd_core.data.processes import worker_pool

PARENT = """
import os, time
from svd_core.data.processes import worker_pool
if __name__ == "__main__":
    pool = worker_pool(2)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600).result()
"""


def test_workers_use_one_thread_each() -> None:
    with worker_pool(1) as pool:
        assert pool.submit(cv2.getNumThreads).result() == 1


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while _alive(worker):
        assert time.monotonic() < deadline, "the worker outlives its parent"
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] != "Z"  # ended, though nobody has asked for its status
