"""Records are written shard by shard, and an interrupted writing goes on from its whole shards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from svd_core.data.records import PER_SHARD, Record, Records, write_records

CLIPS = 2 * PER_SHARD + 5
IDS = [f"clip{number:03d}" for number in range(CLIPS)]
ORIGIN = "digest of the clip table"


def record(number: int, ids: list[str] = IDS) -> Record:
    tensors = [torch.full((2, 2), float(number)) for _ in range(5)]
    return Record(*tensors, ids[number], 8.0, None if number % 2 else 0.1 * number, None)


def from_the(first: int) -> Iterator[Record]:
    return (record(number) for number in range(first, CLIPS))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    write_records(out, ORIGIN, from_the)
    return out


def stopped(out: Path, after: int) -> None:
    """Written until the clip of that number, which cannot be encoded."""

    def until(first: int) -> Iterator[Record]:
        yield from (record(number) for number in range(first, after))
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        write_records(out, ORIGIN, until)


def test_what_is_written_is_read(whole: Path) -> None:
    records = Records(whole)
    assert [each.clip_id for each in records] == IDS
    assert records[77].latents[0, 0] == 77
    assert not list(whole.glob("*.jsonl"))


@pytest.mark.parametrize(("after", "kept"), [(3, 0), (PER_SHARD, PER_SHARD), (PER_SHARD + 9, PER_SHARD)])
def test_it_goes_on_from_whole_shards(after: int, kept: int, whole: Path, tmp_path: Path) -> None:
    stopped(tmp_path, after)
    begun = []

    def rest(first: int) -> Iterator[Record]:
        begun.append(first)
        return from_the(first)

    write_records(tmp_path, ORIGIN, rest)
    assert begun == [kept]
    assert contents(tmp_path) == contents(whole)


def test_a_torn_line_costs_its_shard(whole: Path, tmp_path: Path) -> None:
    stopped(tmp_path, PER_SHARD + 1)
    rows = next(tmp_path.glob("rows-*.jsonl"))
    rows.write_bytes(rows.read_bytes()[:-9])
    write_records(tmp_path, ORIGIN, from_the)
    assert contents(tmp_path) == contents(whole)


def test_shards_of_other_clips_are_not_believed(tmp_path: Path) -> None:
    stopped(tmp_path, PER_SHARD)
    others = [f"other{number}" for number in range(PER_SHARD + 1)]
    write_records(tmp_path, "another", lambda first: (record(number, others) for number in range(first, len(others))))
    assert [each.clip_id for each in Records(tmp_path)] == others


def test_clips_that_are_not_there_are_named(whole: Path) -> None:
    with pytest.raises(ValueError, match="1 of 2 clips were not encoded, the first of them 'nobody'"):
        Records(whole, ["clip000", "nobody"])
    with pytest.raises(ValueError, match="no clips to train on; the subset is empty"):
        Records(whole, [])
