"""How a long function tells its caller how far it is, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """Called now and then with work done and in all (any one unit), and named figures such as `loss`."""

    def __call__(self, done: int, total: int, **figures: float) -> None: ...


def silent(done: int, total: int, **figures: float) -> None:
    """A listener that ignores everything."""
