import threading

import pytest

from svd_core.training.behind import Behind


def test_a_task_goes_on_behind_until_it_is_waited_for() -> None:
    may_end, ended = threading.Event(), []

    def task() -> None:
        may_end.wait()
        ended.append(threading.current_thread())

    with Behind() as behind:
        behind.start(task)
        assert not ended
        may_end.set()
        behind.wait()
        assert ended != [threading.main_thread()]
        behind.wait()  # nothing is left


def test_tasks_come_one_after_the_other() -> None:
    order: list[int] = []
    with Behind() as behind:
        for number in range(8):
            behind.start(lambda number=number: order.append(number))
    assert order == [*range(8)]


def test_what_a_task_raises_is_raised_once_by_the_next_wait_or_start() -> None:
    def fails() -> None:
        raise OSError("no space left")

    with Behind() as behind:
        behind.start(fails)
        with pytest.raises(OSError, match="no space"):
            behind.start(lambda: None)
        behind.wait()
