"""Writing encoded clips into shards, by any number of processes at once; svd_core.data.records says what is in them.

While it goes on, `written-ORIGIN-RANK.jsonl` has a line for every whole shard: its number and its rows of the index.
An interrupted writing goes on from those, on any other number of processes.
"""

import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.torch import save

from svd_core.data.records import INDEX, PLACE, TENSORS, Record
from svd_core.data.shards import add_member
from svd_core.training import interruption
from svd_core.training.execution import Execution

PER_SHARD = 64

LINES_AT_ONCE = 1000

Numbers = NDArray[np.int64]
"""Of clips, counted in the table that is encoded."""


def write_records(
    out: Path,
    origin: str,
    clips: int,
    records_of: Callable[[Numbers], Iterable[Record]],
    execution: Execution | None = None,
) -> None:
    """Write shards of 64 clips and, at the end, the index. Every process calls this and encodes its share of shards.

    origin: a digest of what is encoded. records_of: the records of clips of these numbers, below `clips`, in turn;
    those of whole shards that an interrupted call of the same origin left are not asked for.
    """
    execution = execution or Execution()
    own = out / _kept(origin, execution.rank)
    with execution.together():
        if execution.rank == 0:
            _drop_others(out, origin)
    with execution.together():
        own.touch()
    with execution.together():  # nobody writes before all have seen the same
        kept = {*out.glob(_kept(origin, "*")), *(out / _kept(origin, rank) for rank in range(execution.world))}
        if missing := [path for path in kept if not path.is_file()]:
            raise RuntimeError(f"another process made {missing[0]}, which is not there: do all share this folder?")
        done = {_shard_of(line) for line in _lines(kept)}
    shards = [number for number in range(-(-clips // PER_SHARD)) if number not in done]
    _write_shards(out, own, shards, clips, records_of, execution)
    with execution.together():
        if execution.rank == 0:
            _write_index(out, kept, clips)


def _kept(origin: str, rank: int | str) -> str:
    return f"written-{origin[:16]}-{rank}.jsonl"


def _drop_others(out: Path, origin: str) -> None:
    """Remove what was written of other clips, and torn last lines."""
    (out / "shards").mkdir(parents=True, exist_ok=True)
    own = {*out.glob(_kept(origin, "*"))}
    for left in {*out.glob("written-*"), *(() if own else out.glob("shards/*"))} - own:
        left.unlink()
    for kept in own:
        with kept.open("rb+") as lines:
            lines.truncate(lines.read().rfind(b"\n") + 1)


def _lines(kept: Iterable[Path]) -> Iterator[str]:
    """A line for every whole shard: its number and its rows of the index."""
    for path in kept:
        with path.open() as lines:
            yield from lines


def _shard_of(line: str) -> int:
    return int(line.partition(" ")[0])


def _write_shards(
    out: Path,
    own: Path,
    shards: list[int],
    clips: int,
    records_of: Callable[[Numbers], Iterable[Record]],
    execution: Execution,
) -> None:
    """A shard of each process after the other, so that all stop soon where one fails or is told to stop."""
    share = shards[execution.rank :: execution.world]
    numbers = [np.arange(shard * PER_SHARD, min(clips, (shard + 1) * PER_SHARD)) for shard in share]
    source = iter(records_of(np.concatenate([np.arange(0), *numbers])))
    for place in range(-(-len(shards) // execution.world)):
        if interruption.requested():
            raise interruption.Interrupted(f"asked to stop while encoding; {out} keeps the shards that are whole")
        with execution.together():
            if place < len(share):  # the last round may be short
                records = list(islice(source, len(numbers[place])))
                rows = _write_shard(out, f"shards/{share[place]:06d}.tar", records)
                with own.open("a") as lines:
                    lines.write(f"{share[place]} {json.dumps(rows)}\n")


def _write_shard(out: Path, shard: str, records: list[Record]) -> list[dict[str, Any]]:
    """Their rows of the index."""
    rows = []
    with tarfile.open(out / shard, "w", format=tarfile.PAX_FORMAT) as tar:
        for record in records:
            offset, size = add_member(tar, f"{record.clip_id}.safetensors", _payload(record))
            place = {"shard": shard, "offset": offset, "size": size}
            rows.append({**{name: getattr(record, name) for name in INDEX}, **place})
    return rows


def _payload(record: Record) -> bytes:
    tensors = {name: getattr(record, name).contiguous() for name in TENSORS}
    return save({name: value if name == "strength" else value.half() for name, value in tensors.items()})


def _write_index(out: Path, kept: Iterable[Path], clips: int) -> None:
    """Raises RuntimeError if a clip is missing."""
    lines = _lines(kept)
    parts = [_rows(some) for some in iter(lambda: list(islice(lines, LINES_AT_ONCE)), [])]
    index = pl.concat([_rows([]), *parts]).sort(pl.col("shard").str.len_chars(), "shard", "offset")
    if len(index) != clips:
        raise RuntimeError(f"{out}: {len(index)} of {clips} clips were written")
    half_written = out / "index.parquet.half"
    index.write_parquet(half_written)
    half_written.replace(out / "index.parquet")
    for path in kept:
        path.unlink()


def _rows(lines: list[str]) -> pl.DataFrame:
    rows = [row for line in lines for row in json.loads(line.partition(" ")[2])]
    return pl.DataFrame(rows, schema={**INDEX, **PLACE})
