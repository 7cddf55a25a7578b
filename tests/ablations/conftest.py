import os
import subprocess
import sys
from pathlib import Path

import pytest

ABLATE = str(Path(sys.executable).with_name("ablate"))


@pytest.fixture(scope="session")
def smoke_store(tmp_path_factory):
    """One store for everything at smoke scale that shares its stages."""
    return tmp_path_factory.mktemp("smoke") / "store"


@pytest.fixture
def ablate(smoke_store, tmp_path):
    """The command as its user runs it, in a folder of its own, over the shared store: `start` does not wait."""

    def start(*arguments):
        environment = {**os.environ, "ABLATE_STORE": str(smoke_store), "COLUMNS": "200"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [ABLATE, *arguments]
        return subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, **pipes)

    def run(*arguments):
        process = start(*arguments)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    run.start = start
    return run
