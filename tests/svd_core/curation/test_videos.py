import hashlib
import random
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import av
import crashing
import drawn
import numpy as np
import odd_files
import polars as pl
import pytest

from svd_core.curation import units, videos
from svd_core.curation.listing import list_videos
from svd_core.curation.settings import VideoCurationSettings
from svd_core.curation.table import SCHEMA
from svd_core.curation.videos import curate_videos

pytestmark = pytest.mark.slow  # real files through worker processes, a minute and more in all

SETTINGS = VideoCurationSettings(max_pixels=1_000_000)
REJECTED = {
    "truncated": "cannot be opened as a video: Invalid data",
    "damaged": r"stops decoding after frame \d+|is damaged at frame|ends early",
    "empty": "is an empty file",
    "without_frames": "has no video stream|ends early: 0 frames of at least 1",
    "sound_only": "has no video stream",
    "text": "cannot be opened as a video: Invalid data",
    "picture": "lasts 0.040 s, under min_clip_s 1.5",
    "one_frame": "lasts 0.100 s, under min_clip_s 1.5",
    "huge": "has 1100×1100 pixels, over max_pixels 1000000",
}
ACCEPTED = {"rotated": 2, "variable_rate": 1, "odd_sized": 1, "ten_bit": 2, "very_long": 60, "with_cut": 2}
NAMES = [
    "a b.mp4",
    'it\'s "quoted".mp4',
    "two\nlines.mp4",
    "many.dots.in.it.mp4",
    "wrong suffix.jpg",
    "none",
    "x" * 250,
    "not utf-8 \udcff.mp4",
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of file that a folder of anybody's videos may hold."""
    folder = tmp_path_factory.mktemp("odd")
    for name in [*REJECTED, *ACCEPTED]:
        getattr(odd_files, name)(folder / f"{name}.mp4")
    for name in NAMES:
        (folder / name).write_bytes((folder / "with_cut.mp4").read_bytes())
    (folder / "with_cut.txt").write_text("a disc drifts\n")
    return folder


@pytest.fixture(scope="module")
def curated(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("curated")
    curate_videos(SETTINGS, str(odd), out)
    return out


@pytest.fixture(scope="module")
def table(curated: Path) -> pl.DataFrame:
    return pl.read_parquet(curated / "clips.parquet")


def of(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    return table.filter(pl.col("source") == readable(path))


def readable(path: Path) -> str:
    return str(path).replace("\udcff", r"\xff")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_table_has_the_agreed_columns_and_every_source(table: pl.DataFrame, odd: Path) -> None:
    assert table.schema == pl.Schema(SCHEMA)
    assert set(table["source"]) == {readable(path) for path in odd.iterdir() if path.suffix != ".txt"}
    assert table["clip_id"].n_unique() == table.height
    assert table["clip_id"].str.contains(r"^[A-Za-z0-9_.~%-]+$").all()
    assert table["clip_id"].str.len_bytes().max() <= 200  # type: ignore[operator]
    assert not table["clip_id"].str.contains(".", literal=True).any(), "WebDataset keys end at a dot"


@pytest.mark.parametrize(("name", "reason"), REJECTED.items())
def test_bad_files_are_rows_that_say_what_happened(table: pl.DataFrame, odd: Path, name: str, reason: str) -> None:
    (row,) = of(table, odd / f"{name}.mp4").iter_rows(named=True)
    assert pl.Series([row["error"]]).str.contains(reason).all(), row["error"]
    assert row["shard"] is None
    assert row["motion"] is None


@pytest.mark.parametrize(("name", "clips"), [*ACCEPTED.items()])
def test_unusual_files_give_their_clips(table: pl.DataFrame, odd: Path, name: str, clips: int) -> None:
    rows = of(table, odd / f"{name}.mp4")
    assert rows["error"].null_count() == clips
    sized = {"rotated": (96, 144), "odd_sized": (145, 97), "very_long": (16, 16)}
    assert set(rows.select("width", "height").iter_rows()) == {sized.get(name, (144, 96))}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_kind_are_borne(table: pl.DataFrame, odd: Path, name: str) -> None:
    rows = of(table, odd / name)
    assert rows["error"].null_count() == rows.height == 2


def test_clips_lie_where_the_table_says(curated: Path, table: pl.DataFrame, odd: Path) -> None:
    rows = of(table, odd / "with_cut.mp4")
    assert rows["start_s"].to_list() == [0, 2.4]
    assert rows["caption"].to_list() == ["a disc drifts"] * 2
    for row in rows.iter_rows(named=True):
        with (curated / row["shard"]).open("rb") as shard:
            shard.seek(row["offset"])
            (curated.parent / "clip.mp4").write_bytes(shard.read(row["size"]))
        with av.open(str(curated.parent / "clip.mp4")) as clip:
            frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
        assert len(frames) == row["num_frames"] == 24
        shot = drawn.shot(0 if row["start_s"] == 0 else 1)
        assert np.abs(frames[12].astype(float) - shot[12]).mean() < 5


def test_shards_are_webdataset_samples_with_fixed_times(curated: Path, table: pl.DataFrame) -> None:
    keys: dict[str, set[str]] = {}
    for shard in (curated / "shards").glob("*.tar"):
        with tarfile.open(shard) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.uname) == (0, 0, "")
                key, _, suffix = member.name.partition(".")
                keys.setdefault(key, set()).add(suffix)
    assert set(keys) == set(table.filter(pl.col("error").is_null())["clip_id"])
    assert all(suffixes == {"mp4", "json"} for suffixes in keys.values())


def test_nothing_half_written_is_left(curated: Path) -> None:
    assert {Path(name).suffix for name in digests(curated)} == {".parquet", ".tar", ".json"}


@pytest.fixture
def few(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(4):
        odd_files.write(folder / f"{number}.mp4", drawn.cut(drawn.shot(2 * number), drawn.shot(2 * number + 1)))
    return folder


def test_the_same_again_makes_nothing_and_a_new_video_makes_its_own_unit(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "VIDEOS_PER_UNIT", 1)
    made: list[str] = []
    make = videos.make_unit
    monkeypatch.setattr(videos, "make_unit", lambda *a: made.append(a[1].name) or make(*a))
    out = tmp_path / "out"
    curate_videos(SETTINGS, str(few), out)
    before, all_units = digests(out), len(made)
    made.clear()
    curate_videos(SETTINGS, str(few), out)
    assert (made, digests(out)) == ([], before)
    (few / "0.mp4").write_bytes((few / "1.mp4").read_bytes())
    changed = curate_videos(SETTINGS, str(few), out)
    assert 1 <= len(made) < all_units
    assert changed.height == 8
    made.clear()
    curate_videos(SETTINGS.model_copy(update={"min_clip_s": 9}), str(few), out)
    assert len(made) == all_units


def test_units_of_former_sources_are_dropped(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "VIDEOS_PER_UNIT", 1)
    (tmp_path / "out" / "shards").mkdir(parents=True)
    (tmp_path / "out" / "shards" / "notes.txt").write_text("mine")
    curate_videos(SETTINGS, str(few), tmp_path / "out")
    for number in (1, 2, 3):
        (few / f"{number}.mp4").unlink()
    assert curate_videos(SETTINGS, str(few), tmp_path / "out").height == 2
    shards = {path.name for path in (tmp_path / "out" / "shards").iterdir()}
    tables = (f"{table}.parquet" for table in ("clips", "frames", "scores", "transitions"))
    assert shards == {"notes.txt", *(f"0-0.{kind}" for kind in ("tar", "json", *tables))}


def test_sharding_depends_on_identifiers_alone(few: Path, tmp_path: Path) -> None:
    listed = list_videos(str(few)) * 20
    again = list_videos(f"{few}/*.mp4") * 20
    shares = [
        {unit.name: [v.identifier for v in unit.videos] for unit in units.units(v, tmp_path)} for v in (listed, again)
    ]
    assert shares[0] == shares[1]
    assert all(name.startswith("3-") for name in shares[0])


def test_a_crash_takes_only_its_own_video_along(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (few / "1.mp4").rename(few / "crash.mp4")
    (few / "2.mp4").rename(few / "once.mp4")
    monkeypatch.setattr(videos, "Isolated", crashing.Crashing)
    table = curate_videos(SETTINGS, str(few), tmp_path / "out")
    lost = table.filter(pl.col("error").is_not_null())
    assert lost["source"].to_list() == [str(few / "crash.mp4")]
    assert lost["error"].to_list() == ["the process that decoded it died (signal SIGSEGV), 2 times of 2"]
    assert table.height == 1 + 3 * 2


def test_a_full_disk_is_no_fault_of_a_video(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from svd_core.curation import clips

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clips.Cutter, "copy", full)
    with pytest.raises(OSError, match="No space left"):
        clips.curate_video(SETTINGS, list_videos(str(few))[0], tmp_path, beat=lambda: None)


def test_duplicates_and_unreadable_urls_are_rows(few: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "list.csv"
    manifest.write_text(
        "url\nvideos/0.mp4\nvideos/0.mp4\nfile:///nowhere/b.mp4\nnonsense://c.mp4\n" + (few / "1.mp4").as_uri()
    )
    table = curate_videos(SETTINGS, str(manifest), tmp_path / "out")
    errors = dict(table.filter(pl.col("error").is_not_null()).select("source", "error").iter_rows())
    assert "duplicate id: 'videos/0.mp4'" in errors["videos/0.mp4"]
    assert "FileNotFoundError" in errors["file:///nowhere/b.mp4"]
    assert "Protocol not known: nonsense" in errors["nonsense://c.mp4"]
    assert table["error"].null_count() == 4
    assert table["clip_id"].n_unique() == table.height == 7


def test_a_webdataset_gives_the_same_clips_as_its_videos(few: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "w.tar", "w") as tar:
        for path in sorted(few.iterdir()):
            tar.add(path, path.name)
    table = curate_videos(SETTINGS, str(tmp_path / "w.tar"), tmp_path / "out")
    plain = curate_videos(SETTINGS, str(few), tmp_path / "plain")
    same = ["start_pts", "end_pts", "num_frames", "motion", "text_area", "size"]
    assert table.select(same).equals(plain.select(same))
    assert table["source"][0] == f"{tmp_path / 'w.tar'}/0.mp4"


RUN = """
from pathlib import Path
from svd_core.curation import units
from svd_core.curation.videos import curate_videos
from svd_core.curation.settings import VideoCurationSettings
if __name__ == "__main__":
    units.VIDEOS_PER_UNIT = 1
    curate_videos(VideoCurationSettings(max_pixels=1_000_000), {odd!r}, Path({out!r}), workers=2)
"""


@pytest.mark.long
def test_ten_kills_at_random_moments_change_nothing(odd: Path, table: pl.DataFrame, tmp_path: Path) -> None:
    """Killed while listing, decoding, writing or merging; the last of the runs is left alone."""
    (tmp_path / "run.py").write_text(RUN.format(odd=str(odd), out=str(tmp_path / "out")))
    command = [sys.executable, str(tmp_path / "run.py")]
    moments = random.Random(0)
    kills = 0
    while kills < 10:
        with subprocess.Popen(command) as run:
            time.sleep(moments.uniform(0.4, 2.5))
            kills += run.poll() is None
            run.kill()
        for manifest in list((tmp_path / "out" / "shards").glob("*.json"))[::4]:
            manifest.unlink()  # some work is always left to be interrupted
    subprocess.run(command, check=True)
    again = pl.read_parquet(tmp_path / "out" / "clips.parquet")
    places = ["shard", "offset"]
    assert again.drop(places).equals(table.drop(places)), "units differ in size, clips do not"
    undisturbed = tmp_path / "undisturbed"
    subprocess.run([*command[:1], "-c", RUN.format(odd=str(odd), out=str(undisturbed))], check=True)
    assert digests(tmp_path / "out") == digests(undisturbed)


@pytest.mark.long
def test_of_five_hundred_mutated_files_none_is_lost(tmp_path: Path) -> None:
    """Bytes changed, removed, inserted or zeroed at random places of small files of several codecs and containers."""
    images = drawn.cut(drawn.shot(0, 8, height=32, width=48), drawn.shot(1, 8, height=32, width=48))
    seeds = [
        odd_files.write(tmp_path / f"seed.{suffix}", images, 25, codec=codec, pixels=pixels)
        for codec, pixels, suffix in (
            ("libx264", "yuv420p", "mp4"),
            ("mpeg4", "yuv420p", "avi"),
            ("libvpx", "yuv420p", "webm"),
            ("mjpeg", "yuvj420p", "mkv"),
            ("mpeg2video", "yuv420p", "ts"),
        )
    ]
    folder = tmp_path / "fuzz"
    folder.mkdir()
    for number in range(500):
        rng = np.random.default_rng(number)
        seed = seeds[number % len(seeds)]
        (folder / f"{number:03d}{seed.suffix}").write_bytes(mutated(seed.read_bytes(), rng))
    table = curate_videos(VideoCurationSettings(min_clip_s=0.2), str(folder), tmp_path / "out", workers=2)
    assert set(table["source"]) == {str(path) for path in folder.iterdir()}
    nothing = table.filter(pl.col("error").is_null() & pl.col("shard").is_null())
    assert nothing.is_empty(), "neither a clip nor a reason"
    assert 100 < table.filter(pl.col("error").is_not_null())["source"].n_unique() < 500


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        place, length = int(rng.integers(len(changed))), int(rng.integers(1, 40))
        kind = rng.integers(4)
        if kind == 0:
            changed[place : place + length] = rng.bytes(length)
        elif kind == 1:
            del changed[place : place + length]
        elif kind == 2:
            changed[place:place] = rng.bytes(length)
        else:
            changed[place : place + length] = bytes(length)
    return bytes(changed or b"\0")
