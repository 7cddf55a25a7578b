"""The table for a paper: booktabs, and text that pdflatex with plain fonts sets whatever a name holds."""

import unicodedata

from ablations.report.tables import Cell, Panel, Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_\allowbreak{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",
    "]": "{]}",
    "\N{MINUS SIGN}": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "–": "--",
    "—": "---",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\dots{}",
}
"""Characters that LaTeX reads as commands, and signs that its default fonts lack as text."""

WRAPPER = r"""\documentclass[a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[margin=2cm]{geometry}
\usepackage{mathptmx}
\usepackage{booktabs}
\pagestyle{empty}
\begin{document}
\input{table.tex}
\end{document}
"""
"""A document that holds the table alone."""

BEGIN = r"\begin{table*}\centering\setlength{\tabcolsep}{3.5pt}\footnotesize"
CHARACTERS = 85
"""In all columns but the first: what the 470 points of a default article hold in this size, measured."""
NARROW = 18
"""Of them in a line of the first column."""
LINES, FRAME = 44, 4
"""In one float, and what a panel's headings and rules count for: a page's, less its caption and notes."""


def escape(text: str) -> str:
    """`text` as LaTeX that prints it literally; letters beyond Latin lose their accents or become their code point."""
    return "".join(_escape(character) for character in " ".join(text.split()))


def _escape(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if character.isascii() or (
        "À" <= character <= "ÿ" and character not in "ÐÞðþ"
    ):  # the default fonts lack those four
        return character
    greek = unicodedata.name(character, "").removeprefix("GREEK SMALL LETTER ").lower()
    if "Ͱ" <= character <= "Ͽ" and greek.isalpha():
        return rf"$\{greek}$"
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(SPECIAL.get(c, c) for c in plain) if plain else f"U+{ord(character):04X}"


def to_latex(table: Table) -> str:
    r"""Booktabs floats for `\input`, one if it fits a page: needs only the booktabs package, in one column or two."""
    label = "tab:" + "".join(c if c.isascii() and c.isalnum() else "-" for c in table.name)
    caption = rf"\caption{{{escape(f'{table.question} {table.caption}')}}}\label{{{label}}}\medskip"
    text, filled = [BEGIN, caption], 0
    for part in (part for panel in table.panels for slim in narrowed(panel) for part in shortened(slim)):
        height = sum(map(lines_of, part.rows)) + FRAME
        if filled and filled + height > LINES:
            text += [r"\end{table*}", BEGIN, rf"Table~\ref{{{label}}}, continued.\par\medskip"]
            filled = 0
        text += tabular(part)
        filled += height
    text += [r"\parbox{\textwidth}{\scriptsize " + escape(" ".join(table.notes)) + "}", r"\end{table*}"]
    return "\n".join(text) + "\n"


def narrowed(panel: Panel) -> list[Panel]:
    """The panel, or several that have some of its columns each and its first: what fits between a page's margins."""
    columns = zip(*([panel.header] + [tuple(c.text for c in row) for row in panel.rows]), strict=True)
    widths = [max(map(len, column)) for column in columns]
    parts: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        if parts[-1] and sum(widths[c] for c in [*parts[-1], column]) > CHARACTERS:
            parts.append([])
        parts[-1].append(column)
    return [
        Panel(
            panel.title if number == 0 else f"{panel.title}, continued",
            tuple(panel.header[c] for c in (0, *part)),
            tuple(tuple(row[c] for c in (0, *part)) for row in panel.rows),
        )
        for number, part in enumerate(parts)
    ]


def shortened(panel: Panel) -> list[Panel]:
    """The panel, or several that have some of its rows each: what fits between the top and the bottom of a page."""
    parts: list[list[tuple[Cell, ...]]] = [[]]
    for row in panel.rows:
        if parts[-1] and sum(map(lines_of, [*parts[-1], row])) + FRAME > LINES:
            parts.append([])
        parts[-1].append(row)
    titles = (panel.title, *[f"{panel.title}, continued"] * (len(parts) - 1))
    return [Panel(title, panel.header, tuple(rows)) for title, rows in zip(titles, parts, strict=True)]


def lines_of(row: tuple[Cell, ...]) -> int:
    """How many lines a row takes: its first cell is set in a narrow column."""
    return max(1, -(-len(row[0].text) // NARROW))


def tabular(panel: Panel) -> list[str]:
    """The lines of one panel."""
    columns = len(panel.header)
    lines = [r"\begin{tabular}{@{}p{0.17\textwidth}" + "r" * (columns - 1) + "@{}}", r"\toprule"]
    lines.append(rf"\multicolumn{{{columns}}}{{@{{}}l}}{{\emph{{{escape(panel.title)}}}}} \\")
    lines += [" & ".join(escape(label) for label in panel.header) + r" \\", r"\midrule"]
    for row in panel.rows:
        first, *rest = (rf"\textbf{{{escape(c.text)}}}" if c.bold else escape(c.text) for c in row)
        lines.append(" & ".join([r"\raggedright " + first, *rest]) + r" \\")
    return [*lines, r"\bottomrule", r"\end{tabular}", r"\par\medskip"]
