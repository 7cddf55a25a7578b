"""
What can go wrong, as one tree.

AblateError                 anything a user can mend; printed without a traceback
├── DocumentError           a YAML file is wrong: file, line, column, and the nearest right thing
├── PlanError               the spec is right but cannot be planned (weights missing, over the cap, ...)
└── RunError                stages failed; what they did not touch is kept
"""

from difflib import get_close_matches
from pathlib import Path


class AblateError(Exception):
    """Base of all errors that tell the user what to do next."""


class DocumentError(AblateError):
    """A YAML document is wrong at one place. `line` and `column` count from 1."""

    def __init__(self, path: Path, line: int, column: int, text: str, message: str) -> None:
        self.path, self.line, self.column = path, line, column
        excerpt = f"\n    {text}\n    {' ' * (column - 1)}^" if text.strip() else ""
        super().__init__(f"{path}:{line}:{column}: {message}{excerpt}")


class PlanError(AblateError):
    """A valid spec that cannot run here and now."""


class RunError(AblateError):
    """At least one stage failed; everything else was finished and kept."""


def nearest(word: str, valid: list[str]) -> str:
    """A clause that names the nearest valid word, or all of them if none is near."""
    close = get_close_matches(word, valid, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "valid: " + ", ".join(sorted(valid))
