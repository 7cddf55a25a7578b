"""The `ablate` command: its subcommands are in `ablations.commands`, quick to import for a quick `ablate --help`."""

import os
import sys

import typer

from ablations.commands import clips, models, reports, runs, slurm, votes, weights

app = typer.Typer(
    name="ablate",
    help="Repeatable ablations of training data for video diffusion models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (runs, slurm, reports, votes, clips, models, weights):
    app.add_typer(group.app)

INTERRUPTED = 130


def main() -> None:
    """Entry point: errors that a user can mend are printed without a traceback."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # loading a local folder needs no bar among our lines
    try:
        app()
    except Exception as error:
        from ablations.errors import AblateError

        refused = isinstance(error, OSError) and error.errno is not None  # a full disk, a folder that is none
        if not isinstance(error, AblateError) and not refused:
            raise
        print(f"ablate: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as end:
        # typer turns an interrupt within a command into a silent exit with 130; before the command it passes
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        print("ablate: interrupted; the same command continues", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
