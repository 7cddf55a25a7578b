import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from svd_core.data.shards import Sample, read_window, write_shard


def samples(count: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    windows = rng.integers(0, 256, size=(count, 4, 8, 8, 3), dtype=np.uint8)
    return [Sample(f"{row:04d}-0000000", window, {"caption": f"clip {row}"}) for row, window in enumerate(windows)]


def test_a_window_is_read_back_by_its_byte_range(tmp_path: Path) -> None:
    written = samples(5)
    ranges = write_shard(tmp_path / "0.tar", written, scratch=tmp_path)
    for sample, (offset, size) in zip(written, ranges, strict=True):
        np.testing.assert_array_equal(read_window(tmp_path / "0.tar", offset, size), sample.window)


def test_a_shard_is_a_plain_tar_of_keyed_members(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", samples(2), scratch=tmp_path)
    with tarfile.open(tmp_path / "0.tar") as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [
            f"{key}-0000000.{kind}" for key in ("0000", "0001") for kind in ("npy", "json")
        ]
        assert {member.mtime for member in members} == {0}
        description = tar.extractfile(members[3])
        assert description is not None
        assert json.loads(description.read()) == {"caption": "clip 1"}


def test_equal_samples_give_equal_bytes_and_no_leftovers(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        write_shard(tmp_path / name, samples(3), scratch=tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "b.tar"}


def test_a_name_too_long_for_the_plain_header_keeps_its_range(tmp_path: Path) -> None:
    long = Sample("x" * 200, samples(1)[0].window, {})
    ((offset, size),) = write_shard(tmp_path / "0.tar", [long], scratch=tmp_path)
    np.testing.assert_array_equal(read_window(tmp_path / "0.tar", offset, size), long.window)


@pytest.mark.parametrize("shift", [-3, 512])
def test_a_wrong_range_is_an_error(tmp_path: Path, shift: int) -> None:
    ((offset, size), *_) = write_shard(tmp_path / "0.tar", samples(2), scratch=tmp_path)
    with pytest.raises(ValueError, match=r"0\.tar"):
        read_window(tmp_path / "0.tar", offset + shift, size)


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"no \.npy array"):
        read_window(path, 0, path.stat().st_size)


def test_what_is_neither_an_array_nor_a_video_is_said(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(b"words" * 100)
    with pytest.raises(
        ValueError, match=r"0\.tar, bytes 0\+500: neither an array nor a whole video; it cannot be opened"
    ):
        read_window(tmp_path / "0.tar", 0, 500)
