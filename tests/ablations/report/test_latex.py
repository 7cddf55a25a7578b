import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import ballots, many, renamed, without

from ablations.report.findings import Findings
from ablations.report.latex import WRAPPER, escape, narrowed, to_latex
from ablations.report.result import AblationResult
from ablations.report.tables import build_table

HOSTILE = r"""\input{/etc/passwd} $x_1$ & 50% #1 {a} ~^"<b>" [c] |é Łódź σ 学 😀 naïve ± − × …""" + "".join(
    map(chr, range(0xC0, 0x100))
)


def test_names_print_as_they_stand() -> None:
    assert escape(r"a_b & 5% \x") == r"a\_\allowbreak{}b \& 5\% \textbackslash{}x"
    assert escape("792 ± 13 ↓ −2") == r"792 $\pm$ 13 $\downarrow$ $-$2"
    assert escape("σ é Ł 学") == r"$\sigma$ é U+0141 U+5B66"


TWO_COLUMNS = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs}
\begin{document}
Some words before.
\input{table.tex}
\end{document}
"""


@given(st.text())
def test_nothing_escapes_the_escape(text: str) -> None:
    latex = escape(text)
    for command in ("\\input", "\\write", "\\end{"):
        assert command not in latex
    braces = re.sub(r"\\[{}]", "", latex)
    assert braces.count("{") == braces.count("}")
    assert all(c.isascii() or "À" <= c <= "ÿ" for c in latex)


def test_wide_panels_are_cut_into_parts_and_long_tables_into_floats(ablation: AblationResult) -> None:
    table = build_table(Findings(ablation))
    panel = table.panels[1]
    first, second = narrowed(panel)
    assert first.header + second.header[1:] == panel.header
    assert [row[0] for row in second.rows] == [row[0] for row in panel.rows]
    assert [a + b[1:] for a, b in zip(first.rows, second.rows, strict=True)] == list(panel.rows)
    assert narrowed(table.panels[0]) == [table.panels[0]]
    assert to_latex(table).count(r"\begin{table*}") == 1
    assert to_latex(build_table(Findings(many(ablation)))).count(r"\begin{table*}") > 2


def compiled(table: str, document: str, folder: Path) -> str:
    """What pdflatex says of a document with this table."""
    if shutil.which("pdflatex") is None and os.environ.get("CI") != "true":
        pytest.skip("pdflatex is not installed")
    (folder / "table.tex").write_text(table, encoding="utf-8")
    (folder / "article.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "article.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("document", [WRAPPER, TWO_COLUMNS])
def test_table_compiles_alone_and_in_an_article(ablation: AblationResult, tmp_path: Path, document: str) -> None:
    hostile = without(renamed(ablation, {"filtered": HOSTILE}), "same_size_random", 1, reason=HOSTILE)
    compiled(to_latex(build_table(Findings(hostile))), document, tmp_path)
    assert (tmp_path / "article.pdf").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("state", ["votes", "twenty"])
def test_table_keeps_within_the_page(ablation: AblationResult, tmp_path: Path, state: str) -> None:
    result = replace(ablation, ballots=ballots()) if state == "votes" else many(ablation)
    log = compiled(to_latex(build_table(Findings(result))), TWO_COLUMNS, tmp_path)
    assert "Float too large" not in log
    assert not re.search(r"Overfull .hbox \([0-9]{2,}", log)  # less than ten points nobody sees
