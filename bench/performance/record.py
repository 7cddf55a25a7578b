"""What `nox -s bench` leaves in results/performance: a JSON a suite, and one table over all of them."""

import contextlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablations.job import code_revision

PACKAGES = ("torch", "diffusers", "numpy", "scipy", "polars", "av", "opencv-python-headless", "torchmetrics")
FOLDER = Path("results/performance")
HEADER = """# Figures

Written by `nox -s bench`: do not edit. Peers and limits were run in turns with ours in the same session; *times ours*
is how many times as long they took. What falls short of its goal is listed as **short**; docs/performance.md says why.
`nox -s bench -- --compare` measures again and says what has changed.
"""


def record(measured: Path, suite: str, command: str) -> None:
    """Turn pytest-benchmark's JSON into `SUITE.json`, and write the table of all suites again.

    A suite that was skipped whole, as a GPU's is without one, keeps the figures that it has.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    if measured.exists():
        (FOLDER / f"{suite}.json").write_text(json.dumps(facts(measured, command), indent=1) + "\n")
    suites = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
    (FOLDER / "README.md").write_text(page(suites))


def facts(measured: Path, command: str) -> dict[str, Any]:
    """What is kept of a session: figures, and what they were measured on."""
    raw = json.loads(measured.read_text())
    cpu = raw["machine_info"]["cpu"]
    cards = {entry["extra_info"]["device"] for entry in raw["benchmarks"] if "device" in entry["extra_info"]}
    return {
        "command": command,
        "revision": code_revision()[:12],
        "machine": ", ".join([f"{cpu.get('brand_raw', platform.machine())}, {cpu.get('count')} cores", *sorted(cards)]),
        "python": platform.python_version(),
        "versions": dict(_installed()),
        "measured": raw["datetime"],
        "figures": [_figure(entry) for entry in raw["benchmarks"]],
    }


def _installed() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield name, importlib.metadata.version(name)


def _figure(entry: dict[str, Any]) -> dict[str, Any]:
    stats = entry["stats"]
    seconds = {key: stats[key] for key in ("median", "min", "max", "rounds")}
    return {"name": entry["name"].removeprefix("test_"), "seconds": seconds, **entry["extra_info"]}


def page(suites: dict[str, dict[str, Any]]) -> str:
    """Every suite's goals in one table, then each with its times, notes and machine."""
    lines = [HEADER, "| suite | figure | measured | goal | |", "|---|---|---:|---|---|"]
    for suite, kept in suites.items():
        lines += [f"| {suite} | {row} |" for figure in kept["figures"] for row in _goals(figure)]
    for suite, kept in suites.items():
        lines += ["", f"## {suite}", "", *_section(kept)]
    return "\n".join(lines) + "\n"


def _goals(figure: dict[str, Any]) -> Iterator[str]:
    for entry in figure.get("goals", []):
        bound = " and ".join(f"{sense} {entry[sense]:g}" for sense in ("at least", "at most") if sense in entry)
        state = {True: "reached", False: "**short**", None: ""}[entry.get("reached")]
        yield f"{_title(figure)}: {entry['what']} | {entry['value']:.3g} | {bound} | {state}"


def _section(kept: dict[str, Any]) -> Iterator[str]:
    """One suite: its machine, our median and every peer's, and what was noted beside them."""
    versions = ", ".join(f"{name} {version}" for name, version in kept["versions"].items())
    yield f"`{kept['command']}` at {kept['revision']} on {kept['measured'][:10]}: {kept['machine']}; "
    yield f"Python {kept['python']}, {versions}."
    yield from ("", "| figure | ours, s | peer | peer, s | times ours |", "|---|---:|---|---:|---:|")
    notes = []
    for figure in kept["figures"]:
        others = {key: value for key, value in figure.items() if key not in ("name", "seconds", "goals")}
        peers = {key: value for key, value in others.items() if isinstance(value, dict) and "times_ours" in value}
        for peer, found in peers.items() or [("–", None)]:
            times = f"{found['seconds']:.4g} | {found['times_ours']:.3g}" if found else "– | –"
            yield f"| {_title(figure)} | {figure['seconds']['median']:.4g} | {peer} | {times} |"
        notes += [f"- {_title(figure)}: {key}: {_words(value)}" for key, value in others.items() if key not in peers]
    yield from ("", *notes)


def _title(figure: dict[str, Any]) -> str:
    return str(figure["name"]).replace("_", " ")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(part)}" for key, part in value.items())
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def compare(measured: Path, suite: str) -> None:
    """Print each ratio and goal of a session beside the committed one."""
    committed = FOLDER / f"{suite}.json"
    if not measured.exists():
        print(f"{suite}: skipped here")
        return
    before = dict(_numbers(json.loads(committed.read_text()))) if committed.exists() else {}
    for name, now in _numbers(facts(measured, "")):
        then = before.get(name)
        change = "new" if not then else f"{then:.3g} before, {now / then - 1:+.0%}"
        print(f"{suite} · {name}: {now:.3g} ({change})")


def _numbers(kept: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for figure in kept["figures"]:
        for key, value in figure.items():
            if isinstance(value, dict) and "times_ours" in value:
                yield f"{_title(figure)}: times ours, {key}", value["times_ours"]
        for entry in figure.get("goals", []):
            yield f"{_title(figure)}: {entry['what']}", entry["value"]


if __name__ == "__main__":
    task, path, name, *rest = sys.argv[1:]
    record(Path(path), name, *rest) if task == "record" else compare(Path(path), name)
