"""Curated folders as a spec's data."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from svd_core.curation.table import SCHEMA
from svd_core.data.curated import hold_out, view_clips
from svd_core.data.settings import CuratedSettings, HeldOutSettings
from svd_core.data.shards import Sample, write_shard
from svd_core.data.windows import read_clip_table, read_windows


def curated(folder: Path, videos: str = "abcd", frames: int = 6) -> Path:
    """Three clips of each video, the last of which is short; the first one's pixels are its number."""
    (folder / "shards").mkdir(parents=True)
    names = [(f"{video}-{start}", f"{video}.mp4") for video in videos for start in range(3)]
    lengths = [frames if name.endswith(("0", "1")) else 2 for name, _ in names]
    windows = [np.full((length, 8, 12, 3), number, np.uint8) for number, length in enumerate(lengths)]
    samples = [Sample(name, window, {}) for (name, _), window in zip(names, windows, strict=True)]
    places = write_shard(folder / "shards" / "000000.tar", samples, scratch=folder)
    rows = {
        "clip_id": [name for name, _ in names],
        "source": [source for _, source in names],
        "num_frames": lengths,
        "fps": [8.0] * len(names),
        "motion": [int.from_bytes(name.encode()) / 7 for name, _ in names],
        "caption_video": ["a video"] * len(names),
        "caption": [None, *["merged"] * (len(names) - 1)],
        "shard": ["shards/000000.tar"] * len(names),
        "offset": [offset for offset, _ in places],
        "size": [size for _, size in places],
    }
    missing = {name: [None] * len(names) for name in SCHEMA.keys() - rows.keys()}
    pl.DataFrame({**rows, **missing}, schema_overrides=SCHEMA).write_parquet(folder / "clips.parquet")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return curated(tmp_path / "curated")


def view(folder: Path, out: Path, frames: int = 4, captioned: bool = False) -> Path:
    out.mkdir(exist_ok=True)
    view_clips(CuratedSettings(folder=str(folder), frames=frames, captioned=captioned), out)
    return out


def test_a_view_names_the_clips_that_are_long_enough_and_copies_none(folder: Path, tmp_path: Path) -> None:
    made = view(folder, tmp_path / "view")
    table = read_clip_table(made)
    assert table["clip_id"].to_list() == [f"{video}-{start}" for video in "abcd" for start in range(2)]
    assert sum(path.stat().st_size for path in made.iterdir()) < 10_000
    windows = torch.cat(list(read_windows(made, table, batch_size=3, frames=4)))
    assert windows.shape == (8, 4, 3, 8, 12)
    assert windows[:, 0, 0, 0, 0].tolist() == [0, 1, 3, 4, 6, 7, 9, 10]


def test_a_view_says_what_it_lacks(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of 12 clips of .*curated has the 7 frames"):
        view(folder, tmp_path / "view", frames=7)
    view(folder, tmp_path / "view", captioned=True)
    table = pl.read_parquet(folder / "clips.parquet")
    bare = pl.when(pl.col("clip_id") == "b-1").then(pl.lit("")).otherwise("caption_video").alias("caption_video")
    table.with_columns(bare, caption=pl.lit(None, pl.String)).write_parquet(folder / "clips.parquet")
    with pytest.raises(ValueError, match=r"1 of 8 clips of .* have no caption, the first of them 'b-1'"):
        view(folder, tmp_path / "view", captioned=True)
    made = view(folder, tmp_path / "view")
    shutil.move(folder, tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"curated/shards: the shards that .*clips.parquet names are not there"):
        list(read_windows(made, read_clip_table(made), batch_size=1))


def held(folder: Path, out: Path, count: int, trained: list[Path]) -> Path:
    out.mkdir(exist_ok=True)
    hold_out(HeldOutSettings(folder=str(folder), count=count, frames=5, resolution=8), trained, out)
    return out


def test_one_clip_of_a_video_is_held_out_cut_to_size(folder: Path, tmp_path: Path) -> None:
    other = view(curated(tmp_path / "other", videos="xyz"), tmp_path / "view")
    one, again = held(folder, tmp_path / "one", 3, [other]), held(folder, tmp_path / "again", 3, [other])
    videos = load_file(one / "clips.safetensors")["videos"]
    assert videos.shape == (3, 5, 3, 8, 8)
    assert torch.equal(videos, load_file(again / "clips.safetensors")["videos"])
    table = read_clip_table(one)
    assert len({name.partition("-")[0] for name in table["clip_id"]}) == 3
    numbers = [3 * "abcd".index(name[0]) + int(name[2]) for name in table["clip_id"]]
    assert videos[:, 0, 0, 0, 0].tolist() == numbers
    assert set(table["caption"]) <= {"merged", "a video"}
    assert torch.equal(next(read_windows(one, table, batch_size=3)), videos)


def test_what_is_trained_on_is_not_held_out(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"from 4 videos; reference.count is 5, and one clip of a video is taken"):
        held(folder, tmp_path / "held", 5, [])
    trained = view(curated(tmp_path / "other", videos="cxy"), tmp_path / "view")
    with pytest.raises(ValueError, match=r"1 of 4 held-out clips of .*curated come from videos .*'c.mp4'"):
        held(folder, tmp_path / "held", 4, [trained])
    moved = pl.read_parquet(trained / "clips.parquet").with_columns(source=pl.concat_str(pl.lit("/abs/"), "source"))
    moved.write_parquet(trained / "clips.parquet")
    with pytest.raises(ValueError, match=r"1 of 4 held-out clips of .*curated come from videos .*'c.mp4'"):
        held(folder, tmp_path / "held", 4, [trained])  # the same clip, of a video named otherwise


def test_what_is_no_clip_table_is_told(folder: Path, tmp_path: Path) -> None:
    pl.read_parquet(folder / "clips.parquet").drop("num_frames").write_parquet(folder / "clips.parquet")
    with pytest.raises(ValueError, match=r"clips.parquet has no column 'num_frames'; `ablate curate` writes all of"):
        view(folder, tmp_path / "view")
    (folder / "clips.parquet").write_text("no table")
    with pytest.raises(ValueError, match=r"clips.parquet: no clip table that can be read"):
        view(folder, tmp_path / "view")
