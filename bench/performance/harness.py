"""
What the harness itself costs: planning, submitting, status and starting, and how that grows with the number of runs.

The SLURM here is a set of stubs that answer at once, so that only our own part of a submission is timed.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import polars as pl
import pytest
import submitit

from ablations.artifacts import Store, write_json
from ablations.cluster import LocalCluster, SlurmCluster, load_cluster
from ablations.launch import LocalLaunch, Outcome
from ablations.plan import Graph, plan
from ablations.slurm.launch import Names, SlurmLaunch
from ablations.spec import Spec, load
from ablations.status import standing
from bench.performance.alternating import Work, against
from bench.performance.goals import goal
from bench.performance.reports import spec_text
from svd_core.curation.settings import Keep, Percentile, SubsetSettings
from svd_core.data.subset import make_subset

SIZES = {10: (2, 5), 100: (10, 10), 1_000: (20, 50), 10_000: (100, 100)}
"""Arms and seeds by the number of runs."""
QUICK = pytest.mark.benchmark(timer=process_time)
TRIVIAL_ARMS = 100
STUBS = {
    "sbatch": 'case "$*" in *--test-only*) exit 0;; esac; n=$(cat "$0.n" 2>/dev/null || echo 0); '
    'echo $((n + 1)) >"$0.n"; echo "Submitted batch job $((n + 1))"',
    "squeue": "exit 0",
    "scontrol": "echo MaxArraySize = 1001",
}


def spec_of(folder: Path, runs: int) -> Spec:
    """A spec of so many runs."""
    path = folder / f"runs_{runs}.yaml"
    path.write_text(spec_text(*SIZES[runs]))
    return load(str(path), "smoke")


def growth(benchmark: Any, tmp_path: Path, work: Callable[[Spec], object], runs: int) -> float:
    """Time `work` on a spec of so many runs beside one of a tenth; returns our seconds."""
    large = spec_of(tmp_path, runs)
    small = spec_of(tmp_path, runs // 10) if runs > 10 else None
    peers: dict[str, Work] = {} if small is None else {"a tenth of the runs": lambda: work(small)}
    against(benchmark, lambda: work(large), peers, rounds=3, timer=process_time)
    for peer in peers:
        times = 1 / benchmark.extra_info[peer]["times_ours"]
        goal(benchmark, "times the seconds of a tenth of the runs", times, at_most=12)
    return float(benchmark.stats.stats.median)


@QUICK
@pytest.mark.parametrize("runs", SIZES)
def test_plan(benchmark: Any, tmp_path: Path, runs: int) -> None:
    seconds = growth(benchmark, tmp_path, plan, runs)
    if runs == 1_000:
        goal(benchmark, "seconds for 1,000 runs", seconds, at_most=2)


@QUICK
@pytest.mark.parametrize("runs", SIZES)
def test_status(benchmark: Any, tmp_path: Path, runs: int) -> None:
    store = Store(tmp_path / "store")
    graphs = {size: plan(spec_of(tmp_path, size)) for size in SIZES}
    for number, key in enumerate(graphs[runs].nodes):
        if number % 2:
            store.artifact(key).mkdir(parents=True)
            write_json(store.artifact(key) / "manifest.json", {"seconds": 1.0, "accelerator_seconds": 0.0})
    seconds = growth(benchmark, tmp_path, lambda spec: standing(graphs[len(spec.arms) * len(spec.seeds)], store), runs)
    if runs == 1_000:
        goal(benchmark, "seconds for 1,000 runs", seconds, at_most=1)


@QUICK
@pytest.mark.parametrize("runs", SIZES)
def test_submit(benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in STUBS.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    cluster = load_cluster("slurm")
    assert isinstance(cluster, SlurmCluster)
    calls = folder / "sbatch.n"
    stores = iter(range(1_000))

    def submit(spec: Spec) -> None:
        graph, store = plan(spec), Store(tmp_path / f"store_{next(stores)}")
        calls.unlink(missing_ok=True)
        SlurmLaunch(graph, store, cluster, Names(str(tmp_path / f"{spec.name}.yaml"), "smoke", "slurm", tmp_path)).run(
            graph.nodes
        )

    growth(benchmark, tmp_path, submit, runs)
    submit(spec_of(tmp_path, runs))
    goal(benchmark, "sbatch calls", int(calls.read_text()))


def starts(*arguments: str) -> Callable[[], object]:
    """A whole process of Python."""
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def test_help(benchmark: Any) -> None:
    peers = {"bare interpreter": starts("-c", "pass"), "import typer": starts("-c", "import typer")}
    against(benchmark, starts("-m", "ablations.cli", "--help"), peers, rounds=7)
    goal(benchmark, "seconds", benchmark.stats.stats.median, at_most=0.5)


def test_import(benchmark: Any) -> None:
    modules = "import ablations, bench, svd_core, ablations.cli"
    against(benchmark, starts("-c", modules), {"bare interpreter": starts("-c", "pass")}, rounds=7)
    goal(benchmark, "seconds", benchmark.stats.stats.median, at_most=0.5)


def test_a_hundred_trivial_arms(benchmark: Any, tmp_path: Path) -> None:
    """Stages that only read a small table, through our scheduler and through a loop as submitit's manual has it."""
    curated, turns = tmp_path / "curated", iter(range(1_000))
    curated.mkdir()
    table = {name: [n / 100 for n in range(100)] for name in ("motion", "text_area", "aesthetics", "alignment")}
    ids = {"clip_id": [str(n) for n in range(100)], "error": [None] * 100}
    pl.DataFrame({**ids, **table}, schema_overrides={"error": pl.String}).write_parquet(curated / "clips.parquet")
    arms = [SubsetSettings(keep=Keep(motion=Percentile(drop_lowest=n / 200))) for n in range(TRIVIAL_ARMS)]

    def ours() -> None:
        graph, store = Graph(), Store(tmp_path / f"ours_{next(turns)}")
        corpus = graph.add("curate", SubsetSettings())
        for settings in arms:
            graph.add("subset", settings, curate=corpus)
        store.artifact(corpus.key).parent.mkdir(parents=True)
        store.artifact(corpus.key).symlink_to(curated)
        outcome = Outcome()
        LocalLaunch(graph, store, LocalCluster(about="", cores=2, all_cores=()), {"subset": 1.0}, outcome).run(
            lambda: None
        )
        assert len(outcome.made) == TRIVIAL_ARMS

    def plain_loop() -> None:
        executor = submitit.LocalExecutor(folder=tmp_path / f"plain_{next(turns)}")
        executor.update_parameters(timeout_min=60)
        jobs: list[Any] = []
        for number, settings in enumerate(arms):
            while sum(not job.done() for job in jobs) >= 2:
                time.sleep(0.1)
            out = tmp_path / f"out_{next(turns)}_{number}"
            out.mkdir()
            jobs.append(executor.submit(make_subset, settings, curated, out))
        for job in jobs:
            job.result()

    write_json(curated / "manifest.json", {"files": {}, "seconds": 0.0, "accelerator_seconds": 0.0})
    against(benchmark, ours, {"loop of submitit": plain_loop}, rounds=1)
    times = 1 / benchmark.extra_info["loop of submitit"]["times_ours"]
    goal(benchmark, "wall time beside a plain loop, times", times, at_most=1)
