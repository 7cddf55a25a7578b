import os
from tempfile import gettempdir

import pytest

from ablations.artifacts import Store
from ablations.errors import AblateError
from ablations.slurm.task import prepare, run_command
from ablations.stage import compute_settings, execution
from svd_core.training.settings import ComputeSettings


def test_a_task_has_caches_of_its_own_and_what_the_cluster_file_says(monkeypatch):
    monkeypatch.setattr("os.environ", {"SLURM_CPUS_PER_TASK": "3"})
    prepare('{"finetune": {"micro_batch": 2, "compiled": true}}')
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        assert os.environ[name].startswith(f"{gettempdir()}/ablate-")
    assert os.environ["ABLATE_CORES"] == "3"
    assert compute_settings("finetune") == ComputeSettings(micro_batch=2, compiled=True)
    assert compute_settings("pretrain_videos") == ComputeSettings()


def test_a_stage_is_not_fooled_by_variables_of_whoever_started_it(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert (execution("finetune").world, execution("finetune").rank) == (1, 0)


def test_a_command_runs_in_this_process_over_the_jobs_store(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_STORE", "elsewhere")
    out = tmp_path / "report"
    with pytest.raises(AblateError, match="no spec named 'nothing'"):
        run_command(Store(tmp_path), ["report", "nothing", "--out", str(out)])
    assert os.environ["ABLATE_STORE"] == str(tmp_path)
