"""The one console that commands print to. What they print is data: nothing in it is taken for markup or highlighted."""

from rich.console import Console
from rich.text import Text

console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)


def tell(words: str, style: str, rest: str = "") -> None:
    """Print a line that begins with words in a style."""
    console.print(Text.assemble((words, style), rest))
