"""The main job at smoke scale, every stage real: on the cluster as on this machine, to the bit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablations.artifacts import Store
from ablations.plan import plan
from ablations.spec import load

pytestmark = pytest.mark.timeout(1800)
ROOT = Path(__file__).parents[2]


def ablate(folder, environment, *arguments):
    command = [sys.executable, "-m", "ablations.cli", "run", "data_curation", "--scale", "smoke", *arguments]
    variables = {**environment, "PYTHONPATH": str(ROOT), "ABLATE_STORE": str(folder / "store"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_same_tables_as_locally(cluster, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    far = ablate(there, cluster.environment, "--cluster", "slurm", "--out", "results", "--wait")
    near = ablate(here, dict(os.environ), "--cluster", "local", "--out", "results")
    for process in (near, far):
        stdout, stderr = process.communicate(timeout=1700)
        assert process.returncode == 0, stdout + stderr
    for table in ("table.md", "table.tex", "table.csv"):
        assert (here / "results" / table).read_bytes() == (there / "results" / table).read_bytes()
    ours, theirs = Store(here / "store"), Store(there / "store")
    for key in plan(load("data_curation", "smoke")).nodes:
        manifests = ours.manifest(key), theirs.manifest(key)
        if not key.startswith(("score", "curate")):  # their files tell how long measuring took
            assert manifests[0]["files"] == manifests[1]["files"], key
        assert manifests[0]["fingerprint"] == manifests[1]["fingerprint"]
