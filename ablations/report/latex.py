"""The table for a paper: booktabs, and text that pdflatex with plain fonts sets whatever a name holds."""

import unicodedata

from ablations.report.tables import Table

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
    r"""A booktabs float for `\input`: needs only the booktabs package, in one column or two."""
    size = r"\footnotesize" if len(table.panels[0].header) <= 6 else r"\scriptsize"
    lines = [
        r"\begin{table*}",
        r"\centering\setlength{\tabcolsep}{3.5pt}" + size,
        r"\caption{" + escape(f"{table.question} {table.caption}") + r"}\medskip",
    ]
    lines.append(r"\label{tab:" + "".join(c if c.isascii() and c.isalnum() else "-" for c in table.name) + "}")
    for panel in table.panels:
        columns = len(panel.header)
        lines += [r"\begin{tabular}{@{}p{0.17\textwidth}" + "r" * (columns - 1) + "@{}}", r"\toprule"]
        lines.append(rf"\multicolumn{{{columns}}}{{@{{}}l}}{{\emph{{{escape(panel.title)}}}}} \\")
        lines += [" & ".join(escape(label) for label in panel.header) + r" \\", r"\midrule"]
        for row in panel.rows:
            first, *rest = (rf"\textbf{{{escape(c.text)}}}" if c.bold else escape(c.text) for c in row)
            lines.append(" & ".join([r"\raggedright " + first, *rest]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", r"\par\medskip"]
    lines += [r"\parbox{\textwidth}{\scriptsize " + escape(" ".join(table.notes)) + "}", r"\end{table*}"]
    return "\n".join(lines) + "\n"
