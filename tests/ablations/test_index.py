import json

import pytest

from ablations.errors import AblateError
from ablations.index import write_index


def summary(folder, **more):
    facts = {"name": folder.name, "question": "Is <b>it</b>?", "paper": None, "scale": "laptop", "primary": "FVD ↓",
             "arms": ["a", "b"], "seeds": [0, 1], "missing": 0,
             "verdicts": [{"verdict": "better", "sentence": "b beats a."}]}  # fmt: skip
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps({**facts, **more}))


def test_every_report_is_linked_with_its_verdict(tmp_path):
    summary(tmp_path / "one")
    summary(tmp_path / "two", verdicts=[])
    (tmp_path / "not_a_report").mkdir()
    text = write_index(tmp_path).read_text(encoding="utf-8")
    assert 'href="one/report.html"' in text
    assert 'href="two/report.html"' in text
    assert "b beats a." in text
    assert "Is &lt;b&gt;it&lt;/b&gt;?" in text
    assert "not_a_report" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_nothing_to_list_is_said(tmp_path):
    with pytest.raises(AblateError, match="no report in"):
        write_index(tmp_path)


def test_a_spoilt_summary_is_named(tmp_path):
    summary(tmp_path / "one")
    (tmp_path / "one" / "summary.json").write_text("{")
    with pytest.raises(AblateError, match=r"one/summary.json cannot be read"):
        write_index(tmp_path)
