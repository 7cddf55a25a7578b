"""Work that goes on beside the next step, in a thread of its own: what waits for memory or a disk."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self


class Behind:
    """One task at a time. What it raises is raised by whoever waits for it."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.task: Future[None] | None = None

    def start(self, task: Callable[[], None]) -> None:
        """Begin a task as soon as the one before has ended."""
        self.wait()
        self.task = self.pool.submit(task)

    def wait(self) -> None:
        """Until no task is left."""
        task, self.task = self.task, None
        if task is not None:
            task.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()
