"""A clip table of LVD-10M's size: thresholds on four axes, keep list and funnel; and near-duplicates.

    pytest bench/performance/test_clip_table.py --benchmark-json results/performance/clip_table.json

Each filtering runs in a process of its own, so that its peak memory is its own too (`extra_info.peak_mb`). The table of
100 million rows (5 GB on disk) takes minutes to make and is left out unless ABLATE_BENCH_LARGE is set.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from svd_core.curation.duplicates import LENGTH, duplicates
from svd_core.curation.table import SCORES

LVD_10M = 9_800_000
SIZES = [LVD_10M // 4, LVD_10M, *([100_000_000] if os.environ.get("ABLATE_BENCH_LARGE") else [])]
GROUP = 1_000_000
PAPER = {
    "motion": {"drop_lowest": 0.25},
    "text_area": {"drop_highest": 0.25},
    "aesthetics": {"drop_lowest": 0.25},
    "alignment": {"drop_lowest": 0.5},
}
FILTER = """
import json, resource, sys
from pathlib import Path
from time import perf_counter
from svd_core.data.subset import write_subset
from svd_core.settings import Keep
keep, table, out = Keep.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
import polars, pyarrow.parquet
start = perf_counter()
report = write_subset(keep, table, out)
seconds = perf_counter() - start
peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "peak_mb": peak_mb, "kept": report["kept"], "clips": report["clips"]}))
"""


def write_table(path: Path, rows: int) -> None:
    """Random scores as the paper's axes have them: a third of the clips without any text, a few without a score."""
    rng = np.random.default_rng(0)
    names = ["clip_id", *SCORES, "error"]
    schema = pa.schema([(name, pa.float64() if name in SCORES else pa.large_string()) for name in names])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, GROUP):
            count = min(GROUP, rows - start)
            place = pl.int_range(start, start + count, eager=True)
            ids = pl.select(pl.format("{}-{}", place // 11, place % 11 * 11_580)).to_series().to_arrow()
            text = np.maximum(rng.normal(0.02, 0.05, count), 0)
            scores = [rng.gamma(1.0, 2.0, count), text, rng.normal(5, 1, count), rng.normal(0.28, 0.05, count)]
            missing = rng.random(count) < 0.001
            columns = [pa.array(values, mask=missing) for values in scores]
            writer.write_table(
                pa.table([ids.cast(pa.large_string()), *columns, pa.nulls(count, pa.large_string())], schema)
            )


@pytest.fixture(scope="module", params=SIZES, ids="{:,} rows".format)
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A table on disk."""
    path = tmp_path_factory.mktemp("table") / "clips.parquet"
    write_table(path, request.param)
    yield path
    path.unlink()


def test_thresholds_keep_list_and_funnel(benchmark: Any, table: Path, tmp_path: Path) -> None:
    """The paper's four percentiles, the list of kept clips, and what each removes alone and in sequence."""
    runs: list[dict[str, float]] = []

    def filter_table() -> None:
        command = [sys.executable, "-c", FILTER, json.dumps(PAPER), str(table), str(tmp_path)]
        runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))

    benchmark.pedantic(filter_table, rounds=3)
    best = min(runs, key=lambda run: run["seconds"])
    benchmark.extra_info.update(best, peak_mb=max(run["peak_mb"] for run in runs), rows=best["clips"])


@pytest.mark.parametrize("clips", [50_000, 200_000, 800_000], ids="{:,} clips".format)
def test_near_duplicates(benchmark: Any, clips: int) -> None:
    """A tenth of the clips repeat another one with noise of two levels."""
    rng = np.random.default_rng(0)
    prints = rng.integers(20, 236, (clips, LENGTH), dtype=np.uint8)
    copies = clips // 10
    prints[-copies:] = prints[:copies] + rng.integers(-3, 4, (copies, LENGTH)).astype(np.uint8)
    ids = [f"{row:08d}" for row in range(clips)]
    found = benchmark.pedantic(duplicates, (prints, ids), rounds=1)
    benchmark.extra_info.update(clips=clips, found=sum(original is not None for original in found), planted=copies)
