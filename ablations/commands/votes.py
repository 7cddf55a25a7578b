"""People's votes: the page, and files for outside rating services."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ablations.commands.options import Scale, SpecName

app = typer.Typer()
votes_app = typer.Typer(help="People's votes as files, for outside rating services.", no_args_is_help=True)
app.add_typer(votes_app, name="votes")


@app.command()
def vote(
    spec: SpecName,
    scale: Scale = "laptop",
    host: Annotated[str, typer.Option(help="Address to listen on; any but this machine's own is open to others.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8765,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs that each rater is shown.")] = 30,
    question: Annotated[
        list[str] | None, typer.Option(help="What is asked of each pair (default: visual quality, prompt following).")
    ] = None,
    information: Annotated[
        bool, typer.Option("--information", help="Show the pairs that tell most, instead of all equally often.")
    ] = False,
) -> None:
    """Serve a page on which people compare the arms' clips, blind. Votes are kept as they come; Ctrl-C ends it."""
    from ablations.votes import QUESTIONS, serve

    choose: Literal["balance", "information"] = "information" if information else "balance"
    serve(spec, scale, host, port, pairs, tuple(question or QUESTIONS), choose)


@votes_app.command(name="ballot")
def votes_ballot(
    spec: SpecName,
    folder: Annotated[Path, typer.Argument(help="An empty folder.")],
    scale: Scale = "laptop",
    pairs: Annotated[int, typer.Option(min=1, help="How many pairs.")] = 100,
) -> None:
    """Write pairs of clips for an outside service, arms unnamed. It answers with pair, question, rater and answer."""
    from ablations.vote_files import write_ballot

    typer.echo(f"{write_ballot(spec, scale, folder, pairs)} pairs written to {folder}")


@votes_app.command(name="export")
def votes_export(
    spec: SpecName, out: Annotated[Path, typer.Argument(help="CSV file.")], scale: Scale = "laptop"
) -> None:
    """Write all votes on a spec to a CSV file."""
    from ablations.vote_files import export_votes

    typer.echo(f"{export_votes(spec, scale, out)} votes written to {out}")


@votes_app.command(name="import")
def votes_import(
    spec: SpecName, file: Annotated[Path, typer.Argument(help="CSV file.")], scale: Scale = "laptop"
) -> None:
    """Take votes from a CSV file: answers to a ballot, an export, or any table with left, right, score (1, 0, 0.5)."""
    from ablations.vote_files import import_votes

    taken, known = import_votes(spec, scale, file)
    typer.echo(f"{taken} votes taken from {file}" + (f"; {known} were there already" if known else ""))
