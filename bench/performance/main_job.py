"""
The main job from an empty store: wall time, the share of all cores that it keeps busy, and where the time goes.

Fifteen minutes on two idle cores. Whether its table is the committed one to the byte is noted too.
"""

import json
import os
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ablations.cluster import LocalCluster, load_cluster
from bench.performance.goals import goal

COMMITTED = Path("results/data_curation/comparisons.csv")


def test_data_curation(benchmark: Any, tmp_path: Path) -> None:
    environment = {**os.environ, "ABLATE_STORE": str(tmp_path / "store")}
    command = [sys.executable, "-m", "ablations.cli", "run", "data_curation", "--out", str(tmp_path / "report")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    benchmark.pedantic(
        lambda: subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL), rounds=1, iterations=1
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cluster = load_cluster("local")
    assert isinstance(cluster, LocalCluster)
    wall, cores = benchmark.stats.stats.median, cluster.cores
    busy = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    goal(benchmark, "minutes", wall / 60, at_most=20)
    goal(benchmark, "share of the cores' time used", busy / (wall * cores), at_least=0.85)
    benchmark.extra_info["core-seconds"] = busy
    benchmark.extra_info["share of the stages' seconds"] = shares(tmp_path / "store")
    equal = (tmp_path / "report" / COMMITTED.name).read_bytes() == COMMITTED.read_bytes()
    benchmark.extra_info["comparisons.csv equal to the committed one"] = equal


def shares(store: Path) -> dict[str, float]:
    """Each kind of stage's share of the seconds that all stages took, largest first."""
    seconds: Counter[str] = Counter()
    for path in store.glob("artifacts/*/manifest.json"):
        facts = json.loads(path.read_text())
        seconds[facts["stage"]] += facts["seconds"]
    return {stage: taken / seconds.total() for stage, taken in seconds.most_common()}
