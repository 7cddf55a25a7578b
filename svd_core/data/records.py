"""Encoded clips in shards, read one by one by byte range: what training at scale reads instead of one big file.

A folder has `index.parquet` (`clip_id`, `fps`, `motion`, `elevation`, `shard`, `offset`, `size`) and `shards/*.tar`,
whose members are one safetensors file a clip:

    latents (T, C, h, w)   scaled latents of the clip
    text (3, S, D)         its image, video and merged caption
    image (2, D)           CLIP embeddings of its clean first and last frame
    condition (K, C, h, w) encoder means, not scaled, of its first frame under noise of K strengths
    strength (K,)

The folder may be local or any address that fsspec knows.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import polars as pl
import torch
from safetensors.torch import load

from svd_core.training.draws import row_of_sample

Batch = TypeVar("Batch")

INDEX = {"clip_id": pl.String, "fps": pl.Float64, "motion": pl.Float64, "elevation": pl.Float64}
PLACE = {"shard": pl.String, "offset": pl.Int64, "size": pl.Int64}


@dataclass(frozen=True)
class Record:
    """One encoded clip; the tensors are as in this module's description, in float16 but for the strengths."""

    latents: torch.Tensor
    text: torch.Tensor
    image: torch.Tensor
    condition: torch.Tensor
    strength: torch.Tensor
    clip_id: str
    fps: float
    motion: float | None
    elevation: float | None


TENSORS = tuple(field.name for field in fields(Record) if field.type is torch.Tensor)


class Records(Sequence[Record]):
    """The records of a folder, or those of them that a subset names, in the order of the index. Nothing is kept open.

    Raises ValueError naming clips of the subset that were never encoded, or if there are none.
    """

    def __init__(self, folder: str | Path, clip_ids: Iterable[str] | None = None) -> None:
        from fsspec.core import url_to_fs

        self.files, self.root = url_to_fs(str(folder))
        index = pl.read_parquet(io.BytesIO(self.files.cat_file(f"{self.root}/index.parquet")))
        if clip_ids is not None:
            wanted = pl.Series("clip_id", clip_ids if isinstance(clip_ids, pl.Series) else list(clip_ids), pl.String)
            everything, index = index, index.filter(pl.col("clip_id").is_in(wanted.implode()))
            if len(index) < len(wanted):
                _refuse_missing(wanted, everything["clip_id"])
        if not len(index):
            raise ValueError(f"{folder}: no clips to train on" + ("" if clip_ids is None else "; the subset is empty"))
        self.table = index  # a table: ten million rows as objects would take minutes

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: Any) -> Any:
        """The record of a row of the index; reads just its bytes. Raises ValueError if they are no record."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} records")
        facts = self.table.row(row, named=True)
        path, start = f"{self.root}/{facts['shard']}", facts["offset"]
        payload = self.files.cat_file(path, start=start, end=start + facts["size"])
        try:
            tensors: dict[str, Any] = load(payload)
            return Record(**{name: tensors[name] for name in TENSORS}, **{name: facts[name] for name in INDEX})
        except Exception as error:  # safetensors' own error, or a tensor that is not there
            raise ValueError(f"{path}: no record of {facts['clip_id']!r} at bytes {start}+{facts['size']}") from error

    def of_samples(self, seed: int, samples: range) -> Iterator[Record]:
        """The records of these samples, counted from the start of training: each epoch in an order of its own.

        Which clip a sample reads depends on its number alone, so that training may stop anywhere and continue on any
        number of processes.
        """
        return (self[row_of_sample(seed, index, len(self))] for index in samples)


def _refuse_missing(wanted: pl.Series, encoded: pl.Series) -> None:
    missing = wanted.filter(~wanted.is_in(encoded.implode())).unique().sort()
    if len(missing):
        raise ValueError(f"{len(missing)} of {len(wanted)} clips were not encoded, the first of them {missing[0]!r}")


class ReadAhead(Generic[Batch]):
    """Makes the batch of a process's next step in a second thread while this one is trained on.

    step: samples of a step of all processes. end: samples of the whole training, past which nothing is made.
    """

    def __init__(self, batch_at: Callable[[range], Batch], step: int, end: int) -> None:
        self.batch_at, self.step, self.end = batch_at, step, end
        self.pool = ThreadPoolExecutor(1, "read-ahead")
        self.waiting: dict[range, Future[Batch]] = {}

    def __call__(self, samples: range) -> Batch:
        """The batch of these samples, and its counterpart one step later begun."""
        ready = self.waiting.pop(samples, None)
        following = range(samples.start + self.step, samples.stop + self.step)
        batch = self.batch_at(samples) if ready is None else ready.result()
        if following.start < self.end:
            self.waiting[following] = self.pool.submit(self.batch_at, following)
        return batch

    def close(self) -> None:
        """Drop what was begun."""
        self.pool.shutdown(wait=True, cancel_futures=True)
