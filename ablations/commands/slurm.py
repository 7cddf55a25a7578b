"""Jobs of an ablation on SLURM."""

from typing import Annotated

import typer

from ablations.commands.options import Arms, Scale, SpecName

app = typer.Typer()


@app.command()
def cancel(spec: SpecName, scale: Scale = "laptop", arm: Arms = None) -> None:
    """Take an ablation's jobs out of SLURM's queue. What they did is kept; `ablate run` continues it."""
    from ablations.slurm.commands import cancel as take_out

    take_out(spec, scale, arm or [])


@app.command()
def retry(spec: SpecName, scale: Scale = "laptop", arm: Arms = None) -> None:
    """Submit to SLURM again what failed, and what waits for it."""
    from ablations.slurm.commands import retry as submit_again

    submit_again(spec, scale, arm or [])


@app.command()
def logs(
    spec: SpecName,
    stage: Annotated[str | None, typer.Argument(help="One kind of stage (default: what runs or failed).")] = None,
    scale: Scale = "laptop",
    arm: Arms = None,
) -> None:
    """Print the end of SLURM jobs' logs."""
    from ablations.slurm.commands import logs as show

    show(spec, scale, stage, arm or [])
