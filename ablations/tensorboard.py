"""Training curves for TensorBoard while an ablation or a training runs: the files that it writes, followed."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablations.artifacts import Store
from ablations.console import console
from ablations.errors import AblateError
from ablations.plan import Graph, plan
from ablations.spec import load
from ablations.status import served

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

POLL_S = 2.0


class Curve:
    """One training as one run of TensorBoard: its lines and sample grids, each once, though resuming repeats some."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None
        self.written: dict[str, int] = {}
        self.lines: dict[str, int] = {}

    def follow(self, training: Path) -> None:
        """Write what is new under the folder of a training."""
        for path in (training / "metrics.jsonl", training / "timing.jsonl"):
            for line in self._unread(path):
                if self._new(path.name, line.pop("samples", -1)):
                    for name, value in _scalars(line):
                        self._open().add_scalar(name, value, self.written[path.name])
        for path in sorted((training / "samples").glob("*.png")):
            if self._new("samples", int(path.stem)):
                self._open().add_image("samples", _picture(path), int(path.stem), dataformats="HWC")
        if self.writer is not None:
            self.writer.flush()

    def close(self) -> None:
        """Let go of the files."""
        if self.writer is not None:
            self.writer.close()

    def _unread(self, path: Path) -> list[dict[str, Any]]:
        """Lines that were not read yet, the one that is still being written left out."""
        texts = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        start = self.lines.get(path.name, 0)
        self.lines[path.name] = max(start, len(texts))
        return [json.loads(text) for text in texts[start:]]

    def _new(self, kind: str, samples: int) -> bool:
        if samples <= self.written.get(kind, -1):
            return False
        self.written[kind] = samples
        return True

    def _open(self) -> "SummaryWriter":
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder), purge_step=0)
        return self.writer


def _scalars(line: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a line; those of a mapping within it, such as loss_by_sigma, below its name."""
    for name, value in line.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{part}", number) for part, number in _scalars(value))
        elif value is not None:
            yield name, value


def _picture(path: Path) -> Any:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(path))


class Curves:
    """One TensorBoard run for every training stage of a graph, written once more from its start."""

    def __init__(self, graph: Graph, store: Store, folder: Path) -> None:
        self.store, self.curves = store, {}
        for key, runs in served(graph).items():
            name = f"{graph.nodes[key].stage} {runs}"
            self.curves[key] = Curve(folder / "".join(c if c.isalnum() or c in "-_." else "-" for c in name))

    def follow(self) -> bool:
        """Write the lines that are new; whether every stage is done."""
        for key, curve in self.curves.items():
            done = self.store.artifact(key)
            curve.follow(done if done.exists() else self.store.root / "work" / key)
        return all(self.store.has(key) for key in self.curves)

    def close(self) -> None:
        """Let go of the files."""
        for curve in self.curves.values():
            curve.close()


class PhaseCurves:
    """One TensorBoard run for every phase of a training, by the names of their folders."""

    def __init__(self, run: Path, folder: Path) -> None:
        self.run, self.folder = run, folder
        self.curves: dict[str, Curve] = {}

    def follow(self) -> None:
        """Write what is new."""
        for phase in sorted(self.run.glob("[0-9][0-9]-*")):
            self.curves.setdefault(phase.name, Curve(self.folder / phase.name)).follow(phase)

    def close(self) -> None:
        """Write the rest and let go of the files."""
        self.follow()
        for curve in self.curves.values():
            curve.close()


def check_installed() -> None:
    """Raise AblateError where TensorBoard is missing."""
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise AblateError("TensorBoard is not installed: pip install tensorboard") from error


def follow(name: str, scale: str, folder: Path) -> None:
    """Write event files for TensorBoard into `folder` until all stages of a spec are done, or interrupted."""
    check_installed()
    curves = Curves(plan(load(name, scale)), Store(), folder)
    try:
        while not curves.follow():
            time.sleep(POLL_S)
    finally:
        curves.close()
        note_empty(folder)


def note_empty(folder: Path) -> None:
    """Say so where no curve was written: a training logs a line every 25 steps."""
    if not folder.is_dir() or not any(folder.iterdir()):
        console.print(f"{folder}: nothing to draw; a curve has a point every 25 steps")
