"""What is recorded of a phase beside what it makes: timing.jsonl, and sample grids in samples/."""

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from svd_core.data.records import Records
from svd_core.tasks.batches import batch_of
from svd_core.tasks.grid import Grid
from svd_core.tasks.settings import GenerationSettings, Phase
from svd_core.training.execution import Execution
from svd_core.training.loop import STEPS_PER_LINE
from svd_core.training.objectives import objective_of
from svd_core.training.pace import Pace, flops_per_sample, peak
from svd_core.training.phase import schedule_of
from svd_core.training.settings import WatchSettings
from svd_core.training.state import TrainingState


class Watching:
    """Watches a phase whose folder is `out`. grid_every: steps between grids, rounded up to lines of metrics."""

    def __init__(
        self, out: Path, execution: Execution, pace: Pace, grid: Grid | None = None, grid_every: int = 1
    ) -> None:
        self.out, self.execution, self.pace, self.grid = out, execution, pace, grid
        self.lines = -(-grid_every // STEPS_PER_LINE)

    def begin(self, state: TrainingState) -> None:
        self.pace.begin(state)

    def line(self, state: TrainingState) -> Mapping[str, float]:
        figures = self.pace.line(state)
        if self.grid is not None and state.steps // STEPS_PER_LINE % self.lines == 0:
            path = self.out / "samples" / f"{state.samples:012d}.png"
            with state.averaged():
                self.grid(state.network, path if self.execution.rank == 0 else None, self.execution.device)
            self.pace.begin(state)
        return figures


def watching(
    settings: WatchSettings,
    phase: Phase,
    records: Records,
    generation: GenerationSettings,
    encoders: Path,
    network: nn.Module,
    out: Path,
    execution: Execution,
) -> Watching:
    """What watches a phase under `out`. network: not yet wrapped for several processes, nor compiled."""
    batch = batch_of(phase, records, range(1), schedule_of(phase))
    objective = objective_of("continuous", None, video=phase.task != "images")  # any other costs the network the same
    flops = flops_per_sample(network, objective, batch)
    pace = Pace(out / "timing.jsonl", execution, flops, peak(execution.device, execution.precision))
    if settings.grid_every is None:
        return Watching(out, execution, pace)
    shown = [records[number] for number in range(min(settings.grid_clips, len(records)))]
    return Watching(out, execution, pace, Grid(phase, shown, generation, encoders), settings.grid_every)
