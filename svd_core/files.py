"""Files in whose place there is never half of one."""

from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text beside its place and rename it. One process writes it; what a kill left is written over."""
    half_written = path.with_name(f"{path.name}.half")
    half_written.write_text(text)
    half_written.replace(path)
