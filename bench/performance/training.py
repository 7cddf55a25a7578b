"""What the training loop costs beside the bare step of the same network; checkpoints, the first step, two processes."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from bench.performance.alternating import against
from bench.performance.goals import goal
from bench.performance.network import CONFIG
from svd_core.data.record_writing import write_records
from svd_core.data.records import ReadAhead, Record, Records
from svd_core.models.unet import SpatioTemporalUNet
from svd_core.tasks.batches import batch_of
from svd_core.tasks.settings import Phase
from svd_core.training.execution import Execution, leave_group
from svd_core.training.loop import CHECKPOINT_EVERY_S, CHECKPOINT_SHARE, train
from svd_core.training.objectives import objective_of
from svd_core.training.settings import ExecutionSettings
from svd_core.training.state import TrainingState

FRAMES, SIDE, STEPS = 10, 8, 75
"""The packaged image-to-video training: 32 x 32 pixels. 75 steps last about a minute: three lines of metrics and three
checkpoints, the last of which is waited for. A training on a laptop is longer."""
PHASE: dict[str, Any] = {
    "name": "benchmark",
    "task": "image_to_video",
    "data": "none",
    "resolution": (4 * SIDE, 4 * SIDE),
    "frames": FRAMES,
    "batch_size": 4,
    "lr": 1e-4,
    "ema": 0.999,
}
OBJECTIVE = objective_of("continuous", None, video=True)


def phase(steps: int) -> Phase:
    return Phase.model_validate({**PHASE, "steps": steps})


def records(folder: Path) -> Records:
    """Clips as image-to-video reads them."""
    torch.manual_seed(0)
    latents, text, image = torch.randn(FRAMES, 4, SIDE, SIDE), torch.randn(3, 1, 64), torch.randn(2, 64)
    condition, strength = torch.randn(4, 4, SIDE, SIDE), torch.rand(4)
    tensors = (latents, text, image, condition, strength)
    clips = [Record(*tensors, f"clip{number:03d}", 8.0, 1.0, None) for number in range(96)]
    write_records(folder, "benchmark", len(clips), lambda numbers: [clips[number] for number in numbers])
    return Records(folder)


def fresh_state(execution: Execution | None = None) -> TrainingState:
    torch.manual_seed(0)
    return TrainingState.start(SpatioTemporalUNet(**CONFIG), lr=1e-4, weight_decay=0.01, execution=execution)


def looped(state: TrainingState, read: Records, out: Path, steps: int, execution: Execution | None = None) -> None:
    """So many further steps as a training takes them: data, logging, average, and the checkpoint at the end."""
    out.mkdir(exist_ok=True)
    longer = phase(state.steps + steps)
    state.metrics_bytes = 0  # a folder of its own
    ahead = ReadAhead(lambda samples: batch_of(longer, read, samples, None), longer.batch_size, longer.samples)
    with closing(ahead) as batches:
        train(longer, state, OBJECTIVE, batches, out, execution=execution)


def test_the_loop_beside_bare_steps(benchmark: Any, tmp_path: Path) -> None:
    read, state = records(tmp_path / "records"), fresh_state()
    batch = batch_of(phase(1), read, range(4), None)

    def bare() -> None:
        for _ in range(STEPS):
            state.optimizer.zero_grad(set_to_none=True)
            OBJECTIVE(state.called, batch).mean().backward()
            state.optimizer.step()

    def ours() -> None:
        looped(state, read, tmp_path / f"after-{state.samples}", STEPS)

    against(benchmark, ours, {"forward, backward, optimiser": bare})
    peer = benchmark.extra_info["forward, backward, optimiser"]
    goal(benchmark, "times the seconds of bare steps", 1 / peer["times_ours"], at_most=1.03)
    benchmark.extra_info["steps"] = STEPS


def test_a_checkpoint(benchmark: Any, tmp_path: Path) -> None:
    """Its share of training: one comes every 20 s, or less often where it takes long."""
    read, state = records(tmp_path / "records"), fresh_state()
    looped(state, read, tmp_path / "run", 1)
    benchmark.pedantic(lambda: state.save(tmp_path / "state"), rounds=8, warmup_rounds=1)
    seconds = benchmark.stats.stats.median
    interval = max(CHECKPOINT_EVERY_S, seconds / CHECKPOINT_SHARE)
    goal(benchmark, "share of the time", seconds / (seconds + interval), at_most=0.02)
    benchmark.extra_info["bytes"] = next((tmp_path / "state").iterdir()).stat().st_size


def worker(folder: Path, place: dict[str, str], steps: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.performance.training", str(folder), str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **place}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_the_first_step(benchmark: Any, tmp_path: Path) -> None:
    """From starting Python to the end of the first step, beside importing the libraries that it needs."""
    records(tmp_path)

    def imports() -> None:
        program = "import torch; from diffusers import UNetSpatioTemporalConditionModel"
        subprocess.run([sys.executable, "-c", program], check=True)

    def first_step() -> None:
        worker(tmp_path, {}, 0).communicate()

    against(benchmark, first_step, {"importing torch and diffusers": imports}, rounds=2)


def test_two_processes(benchmark: Any, tmp_path: Path) -> None:
    """The same steps of four samples on one process and, by DDP over gloo, on two."""
    records(tmp_path)

    def seconds(processes: int) -> float:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        places = [{**where, "RANK": str(rank), "WORLD_SIZE": str(processes)} for rank in range(processes)]
        outputs = [process.communicate()[0] for process in [worker(tmp_path, place, STEPS) for place in places]]
        return float(json.loads(outputs[0].splitlines()[-1]))

    found = [seconds(1), benchmark.pedantic(lambda: seconds(2), rounds=1, iterations=1)]
    goal(benchmark, "times as fast as one process", found[0] / found[1])


def main(folder: Path, steps: int) -> None:
    """Take a first step and then so many; print the seconds of those."""
    execution = Execution.from_environment(ExecutionSettings())
    state = fresh_state(execution)
    read, out = Records(folder), folder / f"run-{os.getpid()}"
    looped(state, read, out, 1, execution)
    started = time.perf_counter()
    if steps:
        looped(state, read, folder / f"run-{os.getpid()}-timed", steps, execution)
    print(json.dumps(time.perf_counter() - started))
    leave_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
