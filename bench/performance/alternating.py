"""Two or more ways to do the same, timed in turns, so that a machine's moods hit all alike."""

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import Any

Work = Callable[[], Any]


def against(
    benchmark: Any,
    ours: Work,
    peers: Mapping[str, Work],
    rounds: int = 3,
    timer: Callable[[], float] = perf_counter,
) -> None:
    """
    Time `ours` and each peer once a round, after one untimed call of ours.

    pytest-benchmark keeps our times; `extra_info` gets each peer's median seconds, and how many times longer than ours
    that is. `timer` has to be that of the test's benchmark mark: with `process_time`, for work of one thread, what
    others do on the machine hardly counts.
    """
    ours()
    seconds: dict[str, list[float]] = {name: [] for name in peers}

    def let_peers_run() -> None:
        for name, peer in peers.items():
            started = timer()
            peer()
            seconds[name].append(timer() - started)

    benchmark.pedantic(ours, setup=let_peers_run, rounds=rounds, iterations=1)
    for name, values in seconds.items():
        note_peer(benchmark, name, median(values))


def note_peer(benchmark: Any, name: str, seconds: float) -> None:
    """Note what a peer took beside ours, which has been timed."""
    benchmark.extra_info[name] = {"seconds": seconds, "times_ours": seconds / benchmark.stats.stats.median}
