"""Folders of the user's own: their content is part of what a stage is, their place is not."""

import os
import shutil
from pathlib import Path

import pytest

from ablations import outside
from ablations.errors import PlanError
from ablations.outside import file_digest, folder_digest, rooted, taken_out


@pytest.fixture(autouse=True)
def _anew() -> None:
    folder_digest.cache_clear()


def digest(folder: Path) -> str:
    folder_digest.cache_clear()
    return folder_digest(str(folder))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "clips" / "shards").mkdir(parents=True)
    (tmp_path / "clips" / "clips.parquet").write_bytes(b"table")
    (tmp_path / "clips" / "shards" / "0.tar").write_bytes(b"shard")
    return tmp_path / "clips"


def test_of_clips_the_table_and_the_sizes_of_shards_count(clips: Path, tmp_path: Path) -> None:
    before = digest(clips)
    (clips / "inspect.html").write_text("a page")
    (clips / "subset").mkdir()
    assert digest(clips) == before
    assert digest(Path(shutil.move(clips, tmp_path / "elsewhere"))) == before
    shutil.move(tmp_path / "elsewhere", clips)
    (clips / "shards" / "0.tar").write_bytes(b"shards")
    assert digest(clips) != before
    (clips / "shards" / "0.tar").write_bytes(b"shard")
    (clips / "clips.parquet").write_bytes(b"tabel")
    assert digest(clips) != before


def test_of_networks_every_file_counts(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("one")
    before = digest(tmp_path)
    (tmp_path / "unet" / "weights.safetensors").write_text("one")
    assert digest(tmp_path) != before
    before = digest(tmp_path)
    (tmp_path / "unet" / "config.json").write_text("two")
    assert digest(tmp_path) != before


def test_a_note_beside_a_network_does_not_count_and_links_are_followed(tmp_path: Path) -> None:
    """As in a hub's cache, whose folder begins with a dot and whose files are links."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / ".cache" / "hub" / "snapshot"
    (snapshot / "unet").mkdir(parents=True)
    (blobs / "vae").mkdir(parents=True)
    (blobs / "weights").write_text("one")
    (blobs / "vae" / "config.json").write_text("one")
    (snapshot / "unet" / "weights.safetensors").symlink_to(blobs / "weights")
    (snapshot / "vae").symlink_to(blobs / "vae")
    before = digest(snapshot)
    (snapshot / "README.md").write_text("a note")
    assert digest(snapshot) == before
    for changed in (blobs / "weights", blobs / "vae" / "config.json"):
        before = digest(snapshot)
        changed.write_text("two")
        assert digest(snapshot) != before


def test_a_folder_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("a note")
    with pytest.raises(PlanError, match=r"holds neither clips.parquet nor a network's files"):
        digest(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="nowhere: no such folder"):
        digest(tmp_path / "nowhere")


def test_large_files_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(outside, "LARGE", 2)
    path, seen = tmp_path / "large", []
    monkeypatch.setattr(outside.weights, "digest", lambda path: seen.append(path) or f"digest {len(seen)}")
    path.write_bytes(b"abc")
    assert [file_digest(path), file_digest(path)] == ["digest 1", "digest 1"]
    os.utime(path, ns=(1, 1))
    assert file_digest(path) == "digest 2"


def test_folders_are_taken_out_of_settings(clips: Path) -> None:
    settings = {"autoencoder": {"folder": str(clips), "steps": 3}, "conditioners": {"text": "toy"}, "start": None}
    names = ("autoencoder.folder", "conditioners.text", "start")
    inside, digests = taken_out(settings, names)
    assert inside == {"autoencoder": {"steps": 3}, "conditioners": {"text": "toy"}, "start": None}
    assert digests == {"autoencoder.folder": digest(clips)}
    assert taken_out(settings, ()) == (settings, {})


def test_folders_stand_by_their_whole_path_in_settings(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clips.parent)
    settings = {"start": "clips", "conditioners": {"text": "toy", "image": "clips"}}
    assert rooted(settings, ("start", "conditioners.text", "conditioners.image")) == {
        "start": str(clips),
        "conditioners": {"text": "toy", "image": str(clips)},
    }
