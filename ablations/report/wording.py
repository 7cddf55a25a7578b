"""How numbers and verdicts are written, the same in every format."""

from collections.abc import Iterable
from math import floor, log10
from statistics import median

from ablations.statistics import Comparison, Direction, Interval, Verdict

MINUS = "\N{MINUS SIGN}"
MOST_DECIMALS = 8
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
    return min(max(digits, 0), MOST_DECIMALS)


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


def precise(value: float | None, places: int, *, signed: bool = False) -> str:
    """A difference as `number`, but two significant digits of one that would round away: only a true zero is zero."""
    if not value or float(f"{value:.{places}f}"):
        return number(value, places, signed=signed)
    digits = 1 - floor(log10(abs(value)))
    if digits <= MOST_DECIMALS:
        return number(value, digits, signed=signed)
    return (MINUS if value < 0 else "+" if signed else "") + f"{abs(value):.1e}".replace("-", MINUS)


def with_interval(mean: float, interval: Interval | None, places: int, mark: str = "") -> str:
    """A difference with its sign, a mark and the interval if there is one: a table's cell."""
    text = precise(mean, places, signed=True) + mark
    if interval is None:
        return text
    return f"{text} [{precise(interval.low, places, signed=True)}, {precise(interval.high, places, signed=True)}]"


def percent(share: float) -> str:
    """95 %, 97.5 %, 98.33 %: as many digits as needed, at most two."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + " %"


WORDS: dict[Verdict, str] = {
    "better": "{} beats {}",
    "worse": "{} is worse than {}",
    "inconclusive": "{} against {} is inconclusive",
    "descriptive": "{} against {} is outside the family that the verdict covers",
}


def verdict(comparison: Comparison, metric: str, places: int) -> str:
    """The finding on one arm as a sentence or two."""
    difference, interval = comparison.difference, comparison.interval
    judged = WORDS[comparison.verdict].format(difference.arm, difference.baseline)
    if difference.mean is None or interval is None:
        return f"{judged}: {difference.reason}."
    seen = f"{metric} {'lower' if difference.mean < 0 else 'higher'} by {precise(abs(difference.mean), places)}"
    found = f"{percent(interval.level)} interval {span(interval, places)}"
    sentence = f"{judged}: {seen} ({found}, {adjusted(comparison)}{pairs(comparison)})."
    return f"{sentence} {resolution(comparison, places)}" if comparison.verdict == "inconclusive" else sentence


def identical(comparison: Comparison) -> str:
    """The finding on an arm that made what the baseline made."""
    arm, baseline = comparison.difference.arm, comparison.difference.baseline
    return (
        f"{arm} cannot be told from {baseline}: their scores are identical to the bit in every metric "
        f"({pairs(comparison)}), as when an arm changes a setting that nothing reads."
    )


def span(interval: Interval, places: int) -> str:
    """Both ends as sizes; where they lie on both sides of zero, each with its side."""
    low, high = precise(abs(interval.low), places), precise(abs(interval.high), places)
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
    settle, seen = comparison.seeds_to_settle, precise(abs(comparison.difference.mean or 0), places)
    needed = f"about {settle} seeds" if settle else "more than 1000 seeds"
    return (
        f"With {pairs(comparison)} a true difference of {precise(comparison.detectable, places)} is found four "
        f"times in five; one as small as the {seen} seen would take {needed}."
    )
