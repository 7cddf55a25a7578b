"""
Sessions of the project. All share one environment at `.venv`: a second copy of torch is gigabytes.

`nox -s ablate -- NAME ARGS` is `ablate run NAME ARGS`; `nox -s tests long` runs every test but those of SLURM.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]
BY_MODULE = ("-n", "2", "--dist", "loadscope", "--no-loadscope-reorder")
"""Two processes, a module's tests all on one of them: what they share is made once."""
HERE = Path(__file__).parent
VENV = HERE / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")


def environment(session: nox.Session) -> None:
    """Make or update `.venv` when what it is made from has changed, and fetch the weights that the registry carries."""
    sources = [HERE / "constraints.txt", HERE / "pyproject.toml"]
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = VENV / "made-from"
    if not stamp.exists() or stamp.read_text() != wanted:
        if not (BIN / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        pip = [str(BIN / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        session.log("Installing into .venv: the first time this takes some minutes and about 7 GB")
        extras = ".[captions,fid,multiview,dev]"
        session.run(*pip, "--constraint", "constraints.txt", "--editable", extras, external=True)
        stamp.write_text(wanted)
    ablate(session, "weights", "fetch")


def ablate(session: nox.Session, *arguments: str) -> None:
    """Run the console command of the shared environment."""
    session.run(str(BIN / "ablate"), *arguments, external=True)


def python(session: nox.Session, *arguments: str) -> None:
    """Run a module of the shared environment, with one thread per process."""
    session.run(str(BIN / "python"), *arguments, external=True, env={"OMP_NUM_THREADS": "1"})


@nox.session
def dev(session: nox.Session) -> None:
    """Make the shared environment: everything that any session needs, and the weights."""
    environment(session)


@nox.session(name="ablate")
def run_ablation(session: nox.Session) -> None:
    """Run an ablation: `nox -s ablate -- data_curation` (arguments as for `ablate run`)."""
    environment(session)
    ablate(session, "run", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, on two processes; arguments go to pytest."""
    environment(session)
    python(session, "-m", "pytest", *BY_MODULE, "-m", "not long", *session.posargs)


@nox.session
def long(session: nox.Session) -> None:
    """Run the tests of a minute and more: kills at random moments, a full disk, hundreds of damaged files."""
    environment(session)
    python(session, "-m", "pytest", "-n", "2", "--dist", "worksteal", "-m", "long", *session.posargs)


@nox.session
def unit(session: nox.Session) -> None:
    """Run the quick tests only (under two minutes)."""
    environment(session)
    python(session, "-m", "pytest", *BY_MODULE, "-m", "not slow", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure figures beside their peers: `nox -s bench -- [--compare] [SUITE …]`; --compare replaces none."""
    environment(session)
    named = [word for word in session.posargs if word != "--compare"]
    for suite in named or [path.stem for path in sorted(HERE.glob("bench/performance/*.py")) if has_figures(path)]:
        measured = str(Path(session.create_tmp()) / f"{suite}.json")
        Path(measured).unlink(missing_ok=True)  # pytest-benchmark writes nothing, with a warning, where all was skipped
        options = (f"--benchmark-json={measured}", "--timeout=3600", "-W", "default:Not saving anything")
        python(session, "-m", "pytest", f"bench/performance/{suite}.py", *options)
        if "--compare" in session.posargs:
            python(session, "-m", "bench.performance.record", "compare", measured, suite)
        else:
            python(session, "-m", "bench.performance.record", "record", measured, suite, f"nox -s bench -- {suite}")


def has_figures(path: Path) -> bool:
    """Whether a file of bench/performance is a suite."""
    return "(benchmark: Any" in path.read_text()


@nox.session
def docs(session: nox.Session) -> None:
    """Make the measured tables and figures of docs/ again (half an hour on one core)."""
    environment(session)
    for script in ("power_curve", "distortions"):
        python(session, f"docs/make/{script}.py")


@nox.session
def slurm(session: nox.Session) -> None:
    """Start SLURM clusters on this machine (as root, with Debian's packages), run their tests, take them down."""
    environment(session)
    python(session, "-m", "pytest", "-n", "2", "--dist", "worksteal", "--durations=0", "tests/slurm", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    environment(session)
    python(session, "-m", "ruff", "check", ".")
    python(session, "-m", "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy, strictly."""
    environment(session)
    python(session, "-m", "mypy")
