"""Arguments and options that several subcommands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

SpecName = Annotated[str, typer.Argument(metavar="SPEC", help="A packaged spec (see `ablate list`) or a YAML file.")]
FormatName = Literal["markdown", "latex", "csv", "html"]
TableFormat = Annotated[FormatName, typer.Option("--format", help="How the table is written.")]
Scale = Annotated[str, typer.Option(help="Sizes and steps: a packaged scale or a YAML file.")]
Cluster = Annotated[str, typer.Option(help="Resources: a packaged cluster or a YAML file.")]
SlurmCluster = Annotated[
    str | None, typer.Option("--cluster", help="Submit to SLURM instead: a packaged cluster or a YAML file.")
]
Out = Annotated[
    Path | None,
    typer.Option(help="Where tables and plots go (default results/NAME or results/SCALE/NAME; smoke: in the store)."),
]
Arms = Annotated[list[str] | None, typer.Option("--arm", help="Only this arm's own jobs (may be repeated).")]
