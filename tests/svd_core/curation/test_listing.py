import io
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import polars as pl
import pytest

from svd_core.curation.listing import SourceError, list_videos, local_file, stamp

ODD_NAMES = [
    "plain.mp4",
    "a b.mp4",
    'it\'s "quoted".mp4',
    "two\nlines.mp4",
    "many.dots.in.it.mp4",
    "no suffix",
    "ü.mkv",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "videos"
    (videos / "deeper").mkdir(parents=True)
    for name in [*ODD_NAMES, "deeper/plain.mp4", ".hidden.mp4", "plain.json", "a b.txt"]:
        (videos / name).write_bytes(name.encode())
    return videos


def identifiers(source: str) -> list[str]:
    return [video.identifier for video in list_videos(source)]


def test_a_folder_is_every_file_in_it_but_captions_and_hidden_ones(folder: Path) -> None:
    listed = list_videos(str(folder))
    assert [video.identifier for video in listed] == sorted([*ODD_NAMES, "deeper/plain.mp4"])
    assert all(Path(video.source).read_bytes() == video.identifier.encode() for video in listed)


def test_a_glob_gives_the_same_identifiers_as_its_folder(folder: Path) -> None:
    assert identifiers(f"{folder}/**/*") == identifiers(str(folder))
    assert identifiers(f"{folder}/deeper/*.mp4") == ["plain.mp4"]


def test_a_folder_may_have_the_name_of_a_glob(tmp_path: Path) -> None:
    (tmp_path / "[2024] *").mkdir()
    (tmp_path / "[2024] *" / "a.mp4").touch()
    assert identifiers(str(tmp_path / "[2024] *")) == ["a.mp4"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_manifest_names_paths_and_urls_with_captions(folder: Path, suffix: str) -> None:
    manifest = folder.parent / f"list.{suffix}"
    url = (folder / "ü.mkv").as_uri()
    table = pl.DataFrame({"path": ["videos/plain.mp4", url, None], "caption": ["a ring, blue", None, "nothing"]})
    table.write_csv(manifest) if suffix == "csv" else table.write_parquet(manifest)
    remote, nothing, local = list_videos(str(manifest))
    assert (local.source, local.captions) == ("videos/plain.mp4", (("caption", "a ring, blue"),))
    assert Path(local.location).read_bytes() == b"plain.mp4"
    assert (remote.source, remote.identifier, remote.captions) == (url, url, ())
    assert nothing.error == f"row 3 of {manifest} names no path or URL"


def test_a_manifest_without_paths_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("paths,caption\na.mp4,ring\n")
    with pytest.raises(SourceError, match=r"needs a column source or path or url; found .*did you mean 'path'\?"):
        list_videos(str(tmp_path / "list.csv"))


def test_the_same_video_twice_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("url\na.mp4\nb.mp4\na.mp4\n")
    first, second, other = list_videos(str(tmp_path / "list.csv"))
    assert (first.error, other.error) == (None, None)
    assert second.identifier == "a.mp4~2"
    assert "duplicate id: 'a.mp4'" in (second.error or "")


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, payload in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))


def test_webdataset_tars_give_their_videos_with_captions(tmp_path: Path) -> None:
    for number in range(2):
        members = {f"{number}.mp4": b"video %d" % number, f"{number}.txt": b"a ring\n", f"{number}.json": b"{}"}
        write_tar(tmp_path / f"{number}.tar", members)
    listed = list_videos(f"{tmp_path}/*.tar")
    assert [video.identifier for video in listed] == ["0.tar/0.mp4", "1.tar/1.mp4"]
    assert [dict(video.captions) for video in listed] == [{"caption": "a ring"}] * 2
    for number, video in enumerate(listed):
        with local_file(video, tmp_path) as path:
            assert path.read_bytes() == b"video %d" % number
        assert not path.exists()
    assert list_videos(str(tmp_path / "1.tar"))[0].identifier == "1.tar/1.mp4"


def test_a_tar_that_breaks_off_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {f"{number}.mp4": bytes(600) for number in range(3)})
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: 512 * 4 + 100])
    broken, whole_one, half_one = list_videos(str(tmp_path / "a.tar"))
    assert "cannot be read as a tar to its end" in (broken.error or "")
    assert [whole_one.identifier, half_one.identifier] == ["a.tar/0.mp4", "a.tar/1.mp4"]
    with pytest.raises(OSError, match="ends 500 bytes before its member"), local_file(half_one, tmp_path):
        pass


def test_what_is_not_there_is_refused_with_the_nearest_name(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"no such folder, file or glob; did you mean .*videos'\?"):
        list_videos(str(folder.parent / "vidoes"))
    (folder.parent / "nothing").mkdir()
    with pytest.raises(SourceError, match="no videos there"):
        list_videos(str(folder.parent / "nothing"))


def test_a_changed_file_has_another_stamp(folder: Path) -> None:
    video = list_videos(str(folder / "plain.mp4"))[0]
    before = stamp(video)
    assert stamp(video) == before
    (folder / "plain.txt").write_text("a ring")
    told = stamp(video)
    assert told != before
    Path(video.location).write_bytes(b"longer than before")
    assert stamp(video) not in (before, told)


def test_unreadable_urls_raise(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("url\nfile:///nowhere/a.mp4\nnonsense://a.mp4\n")
    for video in list_videos(str(tmp_path / "list.csv")):
        with pytest.raises((OSError, ValueError)), local_file(video, tmp_path):
            pass


def test_a_video_is_fetched_over_http(tmp_path: Path) -> None:
    (tmp_path / "a b.mp4").write_bytes(bytes(range(256)) * 10_000)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a%20b.mp4"
        (video,) = list_videos(url)
        with local_file(video, tmp_path) as path:
            assert path.read_bytes() == (tmp_path / "a b.mp4").read_bytes()
        server.shutdown()
