"""Tables of numbers within a page of docs/, each between two comments that name it."""

import re
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parents[1]


def put(page: str, **parts: str) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end of NAME -->` in docs/PAGE; ValueError without."""
    path = DOCS / page
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text, found = pattern.subn(lambda match, part=part: f"{match[1]}{part}\n{match[2]}", text)
        if found != 1:
            raise ValueError(f"{path} has {found} places for {name!r}")
    path.write_text(text, encoding="utf-8")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left, the others to the right."""
    lines = [header, [":--", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
