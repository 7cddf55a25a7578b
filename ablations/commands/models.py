"""Train, sample and export one model of any task."""

from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.options import SlurmCluster

app = typer.Typer()


@app.command()
def train(
    training: Annotated[str, typer.Argument(metavar="TRAINING", help="A packaged training or a YAML file.")],
    out: Annotated[Path, typer.Option(help="The run's folder; the same command again continues.")],
    data: Annotated[list[str] | None, typer.Option(help="NAME=FOLDER: read these curated clips instead.")] = None,
    start: Annotated[str | None, typer.Option(help="Weights to start from: a folder, a run, a cached hub id.")] = None,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's curves and sample grids.")] = None,
    cluster: SlurmCluster = None,
) -> None:
    """Train a model of any task, phase by phase; on SLURM or under torchrun on many processes."""
    from ablations.training import submit
    from ablations.training import train as run

    if cluster is None:
        run(training, out, data or [], start, tensorboard)
    else:
        submit(training, out, data or [], start, tensorboard, cluster)


@app.command()
def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run, one of its phases, an export, or an SVD folder.")],
    out: Annotated[Path, typer.Option(help="Where clip.mp4 and frames.png go.")],
    prompt: Annotated[str | None, typer.Option(help="Text, for text-to-video.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="First frame; twice for interpolation.")] = None,
    elevation: Annotated[float | None, typer.Option(help="Degrees, for multi-view.")] = None,
    frames: Annotated[int | None, typer.Option(help="Length (default: as trained).", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the noise.", min=0, max=2**63 - 1)] = 0,
) -> None:
    """Generate a clip from a trained run."""
    from ablations.training import sample as generate

    generate(run, out, prompt, image or [], {"elevation": elevation, "frames": frames, "seed": seed})


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run or one of its phases.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
) -> None:
    """Write a run as a folder that diffusers loads."""
    from ablations.training import export as write

    write(run, out)
