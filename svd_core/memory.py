"""How much memory a process took. Not by `ru_maxrss`: a child starts with its parent's peak, even after exec."""

from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_bytes() -> int | None:
    """Largest resident size of this process since its program began; null on systems without /proc."""
    if not STATUS.exists():
        return None
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024
