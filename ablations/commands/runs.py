"""Specs: write, plan, run, watch and list them; search."""

from pathlib import Path
from typing import Annotated

import typer

from ablations.commands.options import Cluster, Out, Scale, SpecName

app = typer.Typer()


@app.command()
def run(
    spec: Annotated[str | None, typer.Argument(metavar="SPEC", help="As for `ablate plan`.")] = None,
    scale: Scale = "laptop",
    cluster: Cluster = "local",
    out: Out = None,
    every: Annotated[bool, typer.Option("--all", help="Every packaged spec.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="On SLURM: follow the jobs until the report is there.")] = False,
) -> None:
    """Run an ablation and write its report. The same command again continues, or reuses what is there."""
    from ablations.run import run_spec

    if every == (spec is not None) or (every and out):
        raise typer.BadParameter("name one SPEC, or say --all (without --out)")
    if spec is None:
        from ablations.overview import run_all

        raise typer.Exit(run_all(scale, cluster))
    raise typer.Exit(run_spec(spec, scale, cluster, out, wait))


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the spec will be called.")],
    clips: Annotated[
        Path | None, typer.Option(help="Your clips to train on: a folder that `ablate curate` wrote.")
    ] = None,
    held_out: Annotated[Path | None, typer.Option(help="The same of other videos, to compare with.")] = None,
) -> None:
    """Write NAME.yaml, a commented spec to start from."""
    from ablations.new import write_new

    typer.echo(write_new(name, clips, held_out))


@app.command()
def plan(spec: SpecName, scale: Scale = "laptop", cluster: Cluster = "local") -> None:
    """Show the stages to run and to reuse, and the cost expected. Runs nothing."""
    from ablations.run import show_plan

    show_plan(spec, scale, cluster)


@app.command()
def status(
    spec: Annotated[str | None, typer.Argument(metavar="[SPEC]", help="Which (default: all in the store).")] = None,
    scale: Scale = "laptop",
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    watch: Annotated[float | None, typer.Option(min=0.1, help="Again after so long.", metavar="SECONDS")] = None,
) -> None:
    """Show where each stage of an ablation stands, on a cluster with its jobs."""
    from ablations.run import show_status

    show_status(spec, scale, as_json_text=json, watch_s=watch)


@app.command()
def search(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A packaged study (see `ablate list`) or a YAML file.")],
    scale: Scale = "laptop",
    cluster: Cluster = "local",
    trials: Annotated[int | None, typer.Option(min=1, help="Trials in all (default: what the study says).")] = None,
    fork: Annotated[bool, typer.Option("--fork", help="Begin a new study beside the old one.")] = False,
    out: Out = None,
) -> None:
    """Search for the best settings: trials share stages with everything else, and the winner is retrained."""
    from ablations.search.command import run_search

    raise typer.Exit(run_search(study, scale, cluster, trials, fork, out))


@app.command(name="list")
def list_specs(
    files: Annotated[list[str] | None, typer.Argument(metavar="FILES", help="Spec files of your own.")] = None,
) -> None:
    """List every spec with question, arms, cost and last verdict; then studies, recipes, scales and clusters."""
    from ablations.overview import show_list

    show_list(files or [])
