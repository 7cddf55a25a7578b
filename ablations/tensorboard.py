"""Training curves for TensorBoard while an ablation runs: the lines that training writes, followed from outside."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ablations.artifacts import Store
from ablations.errors import AblateError
from ablations.plan import Graph, plan
from ablations.spec import load
from ablations.status import served

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LINES = "metrics.jsonl"
POLL_S = 2.0


class Curves:
    """One TensorBoard run for every training stage of a graph, written once more from its start."""

    def __init__(self, graph: Graph, store: Store, folder: Path) -> None:
        self.names = {key: f"{graph.nodes[key].stage} {runs}" for key, runs in served(graph).items()}
        self.store, self.folder = store, folder
        self.writers: dict[str, SummaryWriter] = {}
        self.written: dict[str, int] = {}

    def follow(self) -> bool:
        """Write the lines that are new; whether every stage is done."""
        for key in self.names:
            path = next((p for p in (self.store.artifact(key) / LINES, self._unfinished(key)) if p.exists()), None)
            for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if path else ():
                if line.endswith("\n"):  # else it is still being written
                    self._write(key, json.loads(line))
        return all(self.store.has(key) for key in self.names)

    def _unfinished(self, key: str) -> Path:
        return self.store.root / "work" / key / LINES

    def _write(self, key: str, line: dict[str, float]) -> None:
        """A line at the samples that it was written at; training that was resumed repeats lines, which are equal."""
        samples = int(line.pop("samples"))
        if samples <= self.written.get(key, -1):
            return
        if key not in self.writers:
            from torch.utils.tensorboard import SummaryWriter

            name = "".join(c if c.isalnum() or c in "-_." else "-" for c in self.names[key])
            self.writers[key] = SummaryWriter(str(self.folder / name), purge_step=0)
        for name, value in line.items():
            self.writers[key].add_scalar(name, value, samples)
        self.written[key] = samples
        self.writers[key].flush()

    def close(self) -> None:
        """Let go of the files."""
        for writer in self.writers.values():
            writer.close()


def follow(name: str, scale: str, folder: Path) -> None:
    """Write event files for TensorBoard into `folder` until all stages of a spec are done, or interrupted."""
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise AblateError("TensorBoard is not installed: pip install tensorboard") from error
    curves = Curves(plan(load(name, scale)), Store(), folder)
    try:
        while not curves.follow():
            time.sleep(POLL_S)
    finally:
        curves.close()
