"""Real processes of one distributed training."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile


def run_ranks(*command: str, processes: int) -> list[tuple[int, str]]:
    """Run a Python command as every rank at once, told as torchrun does; exit status and standard error of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    with contextlib.ExitStack() as files:
        ranks = []
        for rank in range(processes):
            place = {**address, "RANK": str(rank), "WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1"}
            said = files.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen([sys.executable, *command], env={**os.environ, **place}, stderr=said)
            ranks.append((process, said))
        statuses = [process.wait(timeout=280) for process, _ in ranks]
        for _, said in ranks:
            said.seek(0)
        ended = [(status, said.read()) for status, (_, said) in zip(statuses, ranks, strict=True)]
    print("\n".join(text for _, text in ended), file=sys.stderr)  # for whoever reads of a failure
    return ended
