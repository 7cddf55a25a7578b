"""Records are written shard by shard, and an interrupted writing goes on from its whole shards."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import pytest
import torch

from svd_core.data.record_writing import PER_SHARD, Numbers, write_records
from svd_core.data.records import Record, Records
from svd_core.training import interruption
from svd_core.training.execution import Execution

CLIPS = 4 * PER_SHARD + 5
IDS = [f"clip{number:03d}" for number in range(CLIPS)]
ORIGIN = "digest of the clip table"


def record(number: int, ids: list[str] = IDS) -> Record:
    tensors = [torch.full((2, 2), float(number)) for _ in range(5)]
    return Record(*tensors, ids[number], 8.0, None if number % 2 else 0.1 * number, None)


def given(numbers: Numbers) -> Iterator[Record]:
    return map(record, numbers.tolist())


def until(last: int) -> Callable[[Numbers], Iterator[Record]]:
    """Gives records until the clip of that number, which cannot be encoded."""

    def records_of(numbers: Numbers) -> Iterator[Record]:
        for number in numbers.tolist():
            if number >= last:
                raise OSError(f"no space left for clip {number}")
            yield record(number)

    return records_of


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    write_records(out, ORIGIN, CLIPS, given)
    return out


def stopped(out: Path, after: int) -> None:
    with pytest.raises(OSError, match="no space"):
        write_records(out, ORIGIN, CLIPS, until(after))


class Meeting:
    """Where threads that stand for processes wait for each other and add up what they bring."""

    def __init__(self, world: int) -> None:
        self.barrier, self.brought = threading.Barrier(world, timeout=60), list[torch.Tensor]()

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        self.brought.append(value)
        self.barrier.wait()
        total = torch.stack(self.brought).sum(0)
        if self.barrier.wait() == 0:
            self.brought.clear()
        self.barrier.wait()
        return total


@dataclass(frozen=True)
class Thread(Execution):
    meeting: Meeting = field(default_factory=lambda: Meeting(1))

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        return self.meeting.sum(values)

    def wait(self) -> None:
        self.meeting.barrier.wait()


def by_ranks(out: Path, world: int, records_of: Callable[[Numbers], Iterator[Record]]) -> list[BaseException | None]:
    """Write with so many ranks; what each of them raised."""
    meeting = Meeting(world)
    with ThreadPoolExecutor(world) as pool:
        runs = [
            pool.submit(write_records, out, ORIGIN, CLIPS, records_of, Thread(rank, world, meeting=meeting))
            for rank in range(world)
        ]
        return [run.exception() for run in runs]


def test_what_is_written_is_read(whole: Path) -> None:
    records = Records(whole)
    assert [each.clip_id for each in records] == IDS
    assert records[77].latents[0, 0] == 77
    assert not list(whole.glob("*.jsonl"))


@pytest.mark.parametrize(("after", "kept"), [(3, 0), (PER_SHARD, PER_SHARD), (PER_SHARD + 9, PER_SHARD)])
def test_it_goes_on_from_whole_shards(after: int, kept: int, whole: Path, tmp_path: Path) -> None:
    stopped(tmp_path, after)
    asked = []

    def rest(numbers: Numbers) -> Iterator[Record]:
        asked.extend(numbers.tolist())
        return given(numbers)

    write_records(tmp_path, ORIGIN, CLIPS, rest)
    assert asked == [*range(kept, CLIPS)]
    assert contents(tmp_path) == contents(whole)


def test_a_torn_line_costs_its_shard(whole: Path, tmp_path: Path) -> None:
    stopped(tmp_path, PER_SHARD + 1)
    lines = next(tmp_path.glob("written-*.jsonl"))
    lines.write_bytes(lines.read_bytes()[:-9])
    write_records(tmp_path, ORIGIN, CLIPS, given)
    assert contents(tmp_path) == contents(whole)


def test_shards_of_other_clips_are_not_believed(tmp_path: Path) -> None:
    stopped(tmp_path, PER_SHARD)
    others = [f"other{number}" for number in range(PER_SHARD + 1)]
    write_records(tmp_path, "another", len(others), lambda numbers: (record(n, others) for n in numbers.tolist()))
    assert [each.clip_id for each in Records(tmp_path)] == others


@pytest.mark.parametrize("world", [2, 3, 7])
def test_any_number_of_processes_writes_the_same_and_each_only_its_share(
    world: int, whole: Path, tmp_path: Path
) -> None:
    shares: list[list[int]] = []

    def records_of(numbers: Numbers) -> Iterator[Record]:
        shares.append(numbers.tolist())
        return given(numbers)

    assert by_ranks(tmp_path, world, records_of) == [None] * world
    assert contents(tmp_path) == contents(whole)
    assert sum(map(bool, shares)) == min(world, 5)
    assert sorted(chain.from_iterable(shares)) == [*range(CLIPS)]


def test_one_that_fails_fails_all_and_another_number_of_processes_goes_on_from_what_they_kept(
    whole: Path, tmp_path: Path
) -> None:
    first, second = by_ranks(tmp_path, 2, until(3 * PER_SHARD + 1))  # shards 0, 2 and 1, 3 in two rounds
    assert "another process failed" in str(first)
    assert "no space left for clip 193" in str(second)
    assert len(list(tmp_path.glob("shards/*"))) == 3
    assert by_ranks(tmp_path, 3, given) == [None] * 3
    assert contents(tmp_path) == contents(whole)


def test_all_stop_in_the_round_in_which_one_fails(tmp_path: Path) -> None:
    first, second = by_ranks(tmp_path, 2, until(PER_SHARD))  # the second one's first clip
    assert "another process failed" in str(first)
    assert "no space left" in str(second)
    assert [path.name for path in tmp_path.glob("shards/*")] == ["000000.tar"]


def test_told_to_stop_it_stops_after_a_shard_and_goes_on_from_there(whole: Path, tmp_path: Path) -> None:
    def stops(numbers: Numbers) -> Iterator[Record]:
        for number in numbers.tolist():
            if number == PER_SHARD + 3:
                interruption.request()
            yield record(number)

    try:
        with pytest.raises(interruption.Interrupted, match="asked to stop while encoding"):
            write_records(tmp_path, ORIGIN, CLIPS, stops)
    finally:
        interruption.withdraw()
    assert len(list(tmp_path.glob("shards/*"))) == 2
    write_records(tmp_path, ORIGIN, CLIPS, given)
    assert contents(tmp_path) == contents(whole)


def test_one_that_is_cut_off_interrupts_the_others(tmp_path: Path) -> None:
    def cut(numbers: Numbers) -> Iterator[Record]:
        for number in numbers.tolist():
            if number == 3:
                raise interruption.Interrupted("cut off in mid-work")
            yield record(number)

    first, second = by_ranks(tmp_path, 2, cut)
    assert isinstance(first, interruption.Interrupted)
    assert isinstance(second, interruption.Interrupted)
    assert "another process was stopped" in str(second)


def test_no_clips_at_all_are_an_empty_index(tmp_path: Path) -> None:
    write_records(tmp_path, ORIGIN, 0, given)
    with pytest.raises(ValueError, match="no clips to train on"):
        Records(tmp_path)


def test_processes_that_do_not_share_a_folder_are_found_out(tmp_path: Path) -> None:
    alone = Thread(0, 2, meeting=Meeting(1))  # nobody else writes here
    with pytest.raises(RuntimeError, match="which is not there: do all share this folder"):
        write_records(tmp_path, ORIGIN, CLIPS, given, alone)


def test_clips_that_were_not_given_are_missed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"{CLIPS - 1} of {CLIPS} clips were written"):
        write_records(tmp_path, ORIGIN, CLIPS, lambda numbers: given(numbers[:-1]))
    assert not (tmp_path / "index.parquet").exists()


def test_clips_that_are_not_there_are_named(whole: Path) -> None:
    with pytest.raises(ValueError, match="1 of 2 clips were not encoded, the first of them 'nobody'"):
        Records(whole, ["clip000", "nobody"])
    with pytest.raises(ValueError, match="no clips to train on; the subset is empty"):
        Records(whole, [])
