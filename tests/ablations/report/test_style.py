import pytest

from ablations.report.style import two_lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("FVD[i3d-k400] ↓", "FVD[i3d-k400] ↓"),
        ("zooming camera[tracked corners] ↑", "zooming camera\n[tracked corners] ↑"),
        ("dynamic degree[DIS flow] ↑ (descriptive)", "dynamic degree\n[DIS flow] ↑ (descriptive)"),
        ("TSED[SIFT] of the true views ↑", "TSED[SIFT] of\nthe true views ↑"),
        ("x" * 40, "x" * 12 + "…" + "x" * 12),
    ],
)
def test_names_break_between_words_and_before_brackets(text: str, lines: str) -> None:
    assert two_lines(text, 26) == lines
