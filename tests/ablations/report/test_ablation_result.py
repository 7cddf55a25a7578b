import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import without

from ablations.report.result import AblationResult, read_scores


def test_scores_are_read_and_later_keys_ignored(tmp_path: Path) -> None:
    entry = {"value": None, "name": "FVD[i3d-k400]", "direction": "lower", "error": "9 frames needed", "later": 1}
    (tmp_path / "scores.json").write_text(json.dumps({"fvd": entry}))
    score = read_scores(tmp_path / "scores.json")["fvd"]
    assert (score.value, score.error, score.n) == (None, "9 frames needed", None)


@pytest.mark.parametrize(("field", "value"), [("n", 32), ("encoder", "i3d-rgb"), ("resolution", 64), ("weights", "ff")])
def test_values_measured_differently_share_no_column(ablation: AblationResult, field: str, value: object) -> None:
    odd = ablation.runs[4]
    scores = {**odd.scores, "fvd": replace(odd.scores["fvd"], **{field: value})}
    runs = tuple(replace(run, scores=scores) if run is odd else run for run in ablation.runs)
    with pytest.raises(ValueError, match=f"fvd has {field}"):
        replace(ablation, runs=runs)


def test_what_no_table_can_show_is_refused(ablation: AblationResult) -> None:
    with pytest.raises(ValueError, match=r"baseline 'none' is none of the arms"):
        replace(ablation, baseline="none")
    with pytest.raises(ValueError, match=r"primary metric 'fid'"):
        replace(ablation, primary="fid")
    with pytest.raises(ValueError, match=r"missing, unknown or double: \[\('unfiltered', 0\)\]"):
        replace(ablation, runs=ablation.runs[1:])
    with pytest.raises(ValueError, match=r"double: \[\('same_size_random', 2\), "):
        replace(ablation, runs=(*ablation.runs, ablation.runs[-1]))


def test_a_missing_run_has_reasons_not_values(ablation: AblationResult) -> None:
    lost = without(ablation, "filtered", 1)
    assert lost.scores("fvd")["filtered"] == {0: 802.5, 1: None, 2: 777.1}
    assert lost.run("filtered", 1).reason("fvd") == "pretrain_videos failed: loss is nan"
    assert lost.run("filtered", 0).reason("fvd") is None
    assert lost.run("filtered", 0).reason("fid") == "not scored"


def test_epochs_are_samples_over_kept_clips(ablation: AblationResult) -> None:
    assert [arm.epochs for arm in ablation.arms] == pytest.approx([2400 / 3248, 2400 / 686, 2400 / 686])
    assert replace(ablation.arms[0], kept=None).epochs is None


def test_importing_the_data_model_stays_cheap() -> None:
    code = "import sys, ablations.report.result, ablations.report.build\n"
    code += "print([m for m in ('matplotlib', 'scipy', 'statsmodels', 'jinja2', 'torch', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
