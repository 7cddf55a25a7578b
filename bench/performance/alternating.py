"""Two or more ways to do the same, timed in turns, so that a machine's moods hit all alike."""

from collections.abc import Callable, Mapping
from statistics import median
from time import process_time
from typing import Any

Work = Callable[[], Any]


def against(benchmark: Any, ours: Work, peers: Mapping[str, Work], rounds: int = 3) -> None:
    """
    Time `ours` and each peer once a round, after one untimed call of each.

    Seconds are those that this process spends computing, on one thread: what others do on the machine hardly counts.
    pytest-benchmark keeps our times (mark the test with `timer=process_time`); `extra_info` gets each peer's median
    seconds, and how many times longer than ours that is.
    """
    for work in (ours, *peers.values()):
        work()
    seconds: dict[str, list[float]] = {name: [] for name in peers}

    def let_peers_run() -> None:
        for name, peer in peers.items():
            started = process_time()
            peer()
            seconds[name].append(process_time() - started)

    benchmark.pedantic(ours, setup=let_peers_run, rounds=rounds, iterations=1)
    own = benchmark.stats.stats.median
    for name, values in seconds.items():
        benchmark.extra_info[name] = {"seconds": median(values), "times_ours": median(values) / own}
