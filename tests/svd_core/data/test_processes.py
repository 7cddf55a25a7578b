import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import pytest

from svd_core.data.processes import Crew, Isolated, ProcessDied, Stopped, worker_pool

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


def crash(*, beat: object) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def fail(*, beat: object) -> None:
    raise ValueError("seven")


def number(given: int, *, beat: object) -> tuple[int, int]:
    return given, os.getpid()


def stand_still(*, beat: object) -> None:
    time.sleep(600)


def test_a_crash_is_an_error_and_the_next_call_has_a_new_process() -> None:
    process = Isolated()
    _, first = process.call(number, 1)
    assert process.call(number, 2) == (2, first)
    with pytest.raises(ProcessDied, match="signal SIGSEGV"):
        process.call(crash)
    with pytest.raises(RuntimeError, match="ValueError: seven"):
        process.call(fail)
    assert process.call(number, 3)[1] != first
    process.close()
    with pytest.raises(Stopped):
        process.call(number, 4)


def test_what_stands_still_is_ended() -> None:
    process = Isolated(stall_s=3)
    with pytest.raises(ProcessDied, match="no progress for 3 s"):
        process.call(stand_still)
    process.close()


def test_a_crew_closed_from_outside_blames_nobody() -> None:
    crew = Crew([Isolated()])
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(crew.call, stand_still) for _ in range(2)]
        time.sleep(1)
        crew.close()
        assert [type(future.exception()) for future in waiting] == [Stopped, Stopped]
