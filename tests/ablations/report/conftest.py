from pathlib import Path

import pytest
from synthetic import write_ablation

from ablations.report.build import write_report
from ablations.report.findings import Findings
from ablations.report.result import AblationResult


@pytest.fixture(scope="session")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> AblationResult:
    """Three arms, three seeds, all there."""
    return write_ablation(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def report(ablation: AblationResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole report."""
    return write_report(Findings(ablation), tmp_path_factory.mktemp("results") / "data_curation").parent
