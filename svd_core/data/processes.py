"""One process per core: a pool whose workers use one thread each and end when their parent does, however it ends.

And a process of its own for work that may crash it: whatever dies there takes nothing else along.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any

import cv2

BEAT_S = 1.0


class ProcessDied(RuntimeError):
    """The process ended, or was ended because it stood still; the message says how."""


class Stopped(RuntimeError):
    """The process was told to end from outside, which says nothing about its work."""


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of freshly started processes."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would otherwise finish its work beside the parent's next attempt, then wait."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class Isolated:
    """One process that makes calls for its owner, started when first needed and again after it died.

    A call that gives no sign of life for `stall_s` seconds is ended.
    """

    def __init__(self, stall_s: float = 300.0) -> None:
        self.stall_s = stall_s
        self._process: Any = None
        self._connection: Connection | None = None
        self._closed = False

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function(*arguments, beat=...)`, where calling `beat()` is a sign of life.

        Raises ProcessDied if the process crashes or stands still, Stopped if it was told to end, and RuntimeError with
        the words of any exception.
        """
        if self._closed:
            raise Stopped("the process was told to end")
        connection = self._connection or self._start()
        try:
            connection.send((function, arguments))
            while connection.poll(self.stall_s):
                kind, value = connection.recv()
                if kind == "raised":
                    raise RuntimeError(value)
                if kind == "done":
                    return value
        except (EOFError, OSError):
            raise self._death() from None
        self._end()
        raise ProcessDied(f"no progress for {self.stall_s:g} s")

    def close(self) -> None:
        """End the process, whatever it does. A call that another thread waits for raises Stopped."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        return self._connection

    def _death(self) -> RuntimeError:
        self._process.join()
        code = self._process.exitcode
        self._end()
        if self._closed or code == -signal.SIGTERM:
            return Stopped("the process was told to end")
        return ProcessDied(f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}")

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


class Crew:
    """Isolated processes that share calls from any number of threads: each goes to the first idle one."""

    def __init__(self, processes: list[Isolated]) -> None:
        self.processes = processes
        self._idle: SimpleQueue[Isolated] = SimpleQueue()
        for process in processes:
            self._idle.put(process)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """As `Isolated.call`."""
        process = self._idle.get()
        try:
            return process.call(function, *arguments)
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """End all of them, whatever they do."""
        for process in self.processes:
            process.close()


def _serve(connection: Connection) -> None:
    """Make calls until the owner hangs up. An interrupt from the terminal is the owner's to act on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _start_worker()
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last > BEAT_S:
            last = time.monotonic()
            connection.send(("beat", None))

    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send(("done", function(*arguments, beat=beat)))
        except Exception as error:
            connection.send(("raised", f"{type(error).__name__}: {error}"))
