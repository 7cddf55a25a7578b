"""A figure and the limit that it was to keep. Neither passes nor fails a test: a shortfall is listed, not hidden."""

from typing import Any


def goal(
    benchmark: Any, what: str, value: float, *, at_least: float | None = None, at_most: float | None = None
) -> None:
    """Note a figure beside its limit, if it has one; `record` lists it as reached or short, `--compare` follows it."""
    limit = {"at least": at_least, "at most": at_most}
    reached = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    kept = {sense: bound for sense, bound in limit.items() if bound is not None}
    entry = {"what": what, "value": value, **kept, **({"reached": reached} if kept else {})}
    benchmark.extra_info.setdefault("goals", []).append(entry)
