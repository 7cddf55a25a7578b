"""One look for an arm everywhere. Colours are Okabe and Ito's, safe for colour-blind readers."""

from dataclasses import dataclass
from typing import Literal

from ablations.report.wording import ARROWS

Line = Literal["-", "--", "-.", ":"]

BASELINE = "#555555"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES: tuple[Line, ...] = ("-", "--", "-.", ":")
LONGEST = 24
SIGNS = "↓↑−–—…‘’“”≤≥"


@dataclass(frozen=True)
class ArmStyle:
    """Colour for the screen, marker and line for paper in grey, and a label that fits a column."""

    colour: str
    marker: str
    line: Line
    label: str


def arm_styles(arms: tuple[str, ...], baseline: str) -> dict[str, ArmStyle]:
    """Arm to look. The baseline is grey; more arms than colours differ by marker and line."""
    labels, styles, place = short_names(arms), {}, 0
    for arm in arms:
        if arm == baseline:
            styles[arm] = ArmStyle(BASELINE, "o", "-", labels[arm])
            continue
        marker, line = MARKERS[(place + 1) % len(MARKERS)], LINES[(place + 1) % len(LINES)]
        styles[arm] = ArmStyle(COLOURS[place % len(COLOURS)], marker, line, labels[arm])
        place += 1
    return styles


def short_names(names: tuple[str, ...], longest: int = LONGEST) -> dict[str, str]:
    """Names cut in the middle to `longest` characters, and numbered where that makes two alike."""
    shorts: dict[str, str] = {}
    for number, name in enumerate(names):
        short = shortened(name, longest)
        if short in shorts.values():
            short = f"{shortened(name, longest - 4)} #{number}"
        shorts[name] = short
    return shorts


def shortened(text: str, longest: int) -> str:
    """`text` with its middle left out if it is too long, in characters that the figures' font has."""
    text, half = printable(text), (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def printable(text: str) -> str:
    """`text` in characters that the figures' font has."""
    return "".join(c if (c.isprintable() and ord(c) < 0x500) or c in SIGNS else "?" for c in text)


def two_lines(text: str, longest: int) -> str:
    """`text` in two lines of like length if it is longer, broken between words or before what stands in brackets."""
    text = printable(text)
    outside = [place for place in range(1, len(text)) if text[:place].count("[") == text[:place].count("]")]
    breaks = [place for place in outside if text[place] in " [" and text[place + 1 : place + 2] not in ARROWS.values()]
    if len(text) <= longest or not breaks:
        return shortened(text, longest)
    place = min(breaks, key=lambda place: max(place, len(text) - place))
    return f"{shortened(text[:place], longest)}\n{shortened(text[place:].strip(), longest)}"
