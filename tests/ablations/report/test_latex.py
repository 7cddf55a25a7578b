import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import renamed, without

from ablations.report.findings import Findings
from ablations.report.latex import WRAPPER, escape, to_latex
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


@pytest.mark.slow
@pytest.mark.parametrize("document", [WRAPPER, TWO_COLUMNS])
def test_table_compiles_alone_and_in_an_article(ablation: AblationResult, tmp_path: Path, document: str) -> None:
    if shutil.which("pdflatex") is None and os.environ.get("CI") != "true":
        pytest.skip("pdflatex is not installed")
    hostile = without(renamed(ablation, {"filtered": HOSTILE}), "same_size_random", 1, reason=HOSTILE)
    (tmp_path / "table.tex").write_text(to_latex(build_table(Findings(hostile))), encoding="utf-8")
    (tmp_path / "article.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "article.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "article.pdf").stat().st_size > 10_000
