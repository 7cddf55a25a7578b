"""Names that a user wrote: metrics, protocols."""

from collections.abc import Collection
from difflib import get_close_matches


def check_name(name: str, known: Collection[str], kind: str) -> None:
    """Raise ValueError, with the nearest name, unless `name` is among those known: none is ever replaced."""
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no {kind} is named {name!r}; {hint}there are {', '.join(known)}")
