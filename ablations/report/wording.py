"""How numbers and verdicts are written, the same in every format."""

from collections.abc import Iterable
from math import floor, log10
from statistics import median

from ablations.statistics import Comparison, Direction, Interval

MINUS = "\N{MINUS SIGN}"
ARROWS: dict[Direction, str] = {"lower": "↓", "higher": "↑"}


def decimals(spreads: Iterable[float | None], means: Iterable[float | None]) -> int:
    """Digits after the point that show a column's typical spread to two significant digits.

    Without a spread: its largest mean to four.
    """
    known = [s for s in spreads if s]
    largest = max((abs(m) for m in means if m), default=0.0)
    if not known and not largest:
        return 2
    digits = 1 - floor(log10(median(known))) if known else 3 - floor(log10(largest))
    return min(max(digits, 0), 8)


def four_digits(value: float | None) -> str:
    """A difference to four digits, with its sign; a dash for none."""
    return "–" if value is None else f"{value:+.4g}".replace("-", MINUS)


def number(value: float | None, places: int, *, signed: bool = False) -> str:
    """`value` with a true minus sign, never a negative zero; a dash for null."""
    if value is None:
        return "–"
    text = f"{abs(value):.{places}f}"
    sign = "" if float(text) == 0 else MINUS if value < 0 else "+" if signed else ""
    return sign + text


def percent(share: float) -> str:
    """95 %, 97.5 %, 98.33 %: as many digits as needed, at most two."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + " %"


def verdict(comparison: Comparison, metric: str, places: int) -> str:
    """The finding on one arm as a sentence or two."""
    difference, interval = comparison.difference, comparison.interval
    arm, baseline = difference.arm, difference.baseline
    if difference.mean is None or interval is None:
        return f"{arm} against {baseline} is inconclusive: {difference.reason}."
    towards = "lower" if difference.mean < 0 else "higher"
    seen = f"{metric} {towards} by {number(abs(difference.mean), places)}"
    found = f"{percent(interval.level)} interval {span(interval, places)}"
    evidence = f"({found}, {adjusted(comparison)}{pairs(comparison)})"
    if comparison.verdict == "descriptive":
        return f"{arm} against {baseline} is outside the family that the verdict covers: {seen} {evidence}."
    if comparison.verdict == "inconclusive":
        return f"{arm} against {baseline} is inconclusive: {seen} {evidence}. {resolution(comparison, places)}"
    words = "beats" if comparison.verdict == "better" else "is worse than"
    return f"{arm} {words} {baseline}: {seen} {evidence}."


def span(interval: Interval, places: int) -> str:
    """Both ends as sizes; where they lie on both sides of zero, each with its side."""
    low, high = number(abs(interval.low), places), number(abs(interval.high), places)
    if interval.low < 0 < interval.high:
        return f"from {low} lower to {high} higher"
    return f"{low} to {high}" if interval.low >= 0 else f"{high} to {low}"


def adjusted(comparison: Comparison) -> str:
    """A clause on the correction, empty if there was nothing to correct for."""
    tested = comparison.p_holm is not None and comparison.family > 1
    return f"Holm-adjusted for {comparison.family} arms, " if tested else ""


def pairs(comparison: Comparison) -> str:
    """The number of paired seeds."""
    count = len(comparison.difference.seeds)
    return f"{count} paired seed{'' if count == 1 else 's'}"


def resolution(comparison: Comparison, places: int) -> str:
    """What this many seeds could have seen, and how many would settle an effect as large as the one seen."""
    settle = comparison.seeds_to_settle
    needed = f"about {settle} seeds" if settle else "more than 1000 seeds"
    return (
        f"With {pairs(comparison)} a true difference of {number(comparison.detectable, places)} is found four times "
        f"in five; one as small as the {number(abs(comparison.difference.mean or 0), places)} seen would take {needed}."
    )
