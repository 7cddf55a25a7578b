"""What reading a subset costs: bytes and samples a second beside a reader that streams whole shards, and resuming."""

from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import polars as pl
import pytest
import torch
import webdataset
from safetensors.torch import load

from bench.performance.alternating import against
from bench.performance.goals import goal
from svd_core.data.record_writing import write_records
from svd_core.data.records import INDEX, PLACE, Record, Records
from svd_core.training.draws import row_of_sample

pytestmark = pytest.mark.filterwarnings(  # webdataset leaves shards open
    "ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
CLIPS = 512
MANY = 10_000_000
KEPT = (1.0, 0.5, 0.235, 0.05)
"""Of LVD-10M, the paper's filters keep 23.5 %."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of SVD's first video stage: 14 frames of 256 x 384 as latents, three captions of 77 tokens."""
    out = tmp_path_factory.mktemp("records")
    latents, text, image = torch.randn(14, 4, 32, 48), torch.randn(3, 77, 1024), torch.randn(2, 1024)
    condition, strength = torch.randn(4, 4, 32, 48), torch.rand(4)
    tensors = (latents, text, image, condition, strength)
    clips = [Record(*tensors, f"clip{number:04d}", 8.0, 1.0, None) for number in range(CLIPS)]
    write_records(out, "benchmark", len(clips), lambda numbers: [clips[number] for number in numbers])
    return out


def bytes_read() -> int:
    """Of this process so far, from disk or the page cache."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["rchar"])


def streamed(folder: Path, kept: set[str]) -> Iterator[torch.Tensor]:
    """Every shard from its first byte to its last; what is not kept is dropped."""
    shards = sorted(str(path) for path in (folder / "shards").glob("*.tar"))
    for sample in webdataset.WebDataset(shards, shardshuffle=False, empty_check=False):
        if sample["__key__"] in kept:
            yield load(sample["safetensors"])["latents"]


@pytest.mark.parametrize("share", KEPT)
def test_an_epoch_of_a_subset(benchmark: Any, folder: Path, share: float) -> None:
    ids = Records(folder).table["clip_id"].sample(round(share * CLIPS), seed=0, shuffle=True)
    records, kept = Records(folder, ids), set(ids)

    def ours() -> int:
        return sum(len(record.latents) for record in records.of_samples(0, range(len(records))))

    def stream() -> int:
        return sum(len(latents) for latents in streamed(folder, kept))

    assert ours() == stream() == 14 * len(kept)
    against(benchmark, ours, {"webdataset, dropping the rest": stream}, rounds=5)
    before = bytes_read()
    ours()
    read = (bytes_read() - before) / float(records.table["size"].sum())
    goal(benchmark, "bytes read of each byte kept", read, at_most=1.2)
    least = {"at_least": 3.0} if share == 0.235 else {}
    peer = benchmark.extra_info["webdataset, dropping the rest"]
    goal(benchmark, "times the samples a second of streaming", peer["times_ours"], **least)
    benchmark.extra_info["samples a second"] = len(kept) / benchmark.stats.stats.median


def test_resuming_in_mid_epoch_among_ten_million(benchmark: Any, folder: Path, tmp_path: Path) -> None:
    """From an index of all clips and a subset's list to the first record, deep in the second epoch."""
    place = Records(folder).table.row(0, named=True)
    columns = {name: pl.lit(place[name], dtype) for name, dtype in {**INDEX, **PLACE}.items()}
    columns["clip_id"] = pl.format("video{}_{}", pl.col("n") // 11, pl.col("n") % 11)
    rows = pl.select(n=pl.int_range(MANY)).select(**columns)
    rows.write_parquet(tmp_path / "index.parquet")
    (tmp_path / "shards").symlink_to(folder / "shards")
    kept = rows["clip_id"].sample(fraction=0.235, seed=0, shuffle=True)
    del rows

    def resume() -> Record:
        records = Records(tmp_path, kept)
        record: Record = records[row_of_sample(0, len(records) * 3 // 2, len(records))]
        return record

    started = process_time()
    benchmark.pedantic(resume, rounds=3, iterations=1)
    benchmark.extra_info["seconds of all cores"] = (process_time() - started) / 3
    goal(benchmark, "seconds to the first record of 10M clips", benchmark.stats.stats.median, at_most=2)
