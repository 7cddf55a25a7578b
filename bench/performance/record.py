"""What `nox -s bench` leaves in results/performance: one JSON and one table a suite, with machine and versions."""

import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "scipy", "torchmetrics")


def record(measured: Path, out: Path, command: str) -> None:
    """Turn pytest-benchmark's JSON into `out` (.json) and a Markdown table beside it."""
    raw = json.loads(measured.read_text())
    cpu = raw["machine_info"]["cpu"]
    kept = {
        "command": command,
        "revision": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout[
            :12
        ],
        "machine": f"{cpu.get('brand_raw', platform.machine())}, {cpu.get('count')} cores, one thread",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "measured": raw["datetime"],
        "figures": [_figure(entry) for entry in raw["benchmarks"]],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(kept, indent=1) + "\n")
    out.with_suffix(".md").write_text(table(kept))


def _figure(entry: dict[str, Any]) -> dict[str, Any]:
    stats = entry["stats"]
    seconds = {key: stats[key] for key in ("median", "min", "max", "rounds")}
    return {"name": entry["name"].removeprefix("test_"), "seconds": seconds, **entry["extra_info"]}


def table(kept: dict[str, Any]) -> str:
    """Figures in rows: our median, every peer's, and how many times ours that is."""
    versions = ", ".join(f"{name} {version}" for name, version in kept["versions"].items())
    lines = [
        f"`{kept['command']}` at {kept['revision']}: {kept['machine']}; Python {kept['python']}, {versions}.",
        "",
        "| figure | ours, s | peer | peer, s | times ours |",
        "|---|---:|---|---:|---:|",
    ]
    notes = []
    for figure in kept["figures"]:
        ours = f"{figure['seconds']['median']:.4g}"
        others = {key: value for key, value in figure.items() if key not in ("name", "seconds")}
        peers = {key: value for key, value in others.items() if isinstance(value, dict) and "times_ours" in value}
        for peer, found in peers.items() or [("–", None)]:
            times = f"{found['seconds']:.4g} | {found['times_ours']:.3g}" if found else "– | –"
            lines.append(f"| {figure['name']} | {ours} | {peer} | {times} |")
        notes += [f"- {figure['name']}: {key}: {_words(value)}" for key, value in others.items() if key not in peers]
    return "\n".join([*lines, "", *notes, ""])


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(part)}" for key, part in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
