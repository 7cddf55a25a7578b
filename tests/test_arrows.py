"""The design's arrows: ablations → bench → svd_core, whence bench takes only what reads and encodes videos."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FREE = ("svd_core.settings", "svd_core.progress", "svd_core.device")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", sorted((ROOT / "svd_core").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_svd_core_imports_nothing_above_it(path):
    assert [name for name in imported(path) if name.split(".")[0] in ("bench", "ablations")] == []


@pytest.mark.parametrize("path", sorted((ROOT / "bench").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_bench_takes_only_encoders_the_reading_of_videos_and_orbits_and_the_classifier_of_camera_motion(path):
    if "performance" in path.parts:
        return
    allowed = (*FREE, "svd_core.encoders", "svd_core.data.video", "svd_core.data.orbits", "svd_core.curation.camera")
    names = [name for name in imported(path) if name.split(".")[0] in ("svd_core", "ablations")]
    assert [name for name in names if not name.startswith(allowed)] == []


def test_the_command_loads_nothing_heavy_at_import():
    allowed = {"os", "sys", "pathlib", "typing", "typer"}
    modules = [ROOT / "ablations" / "cli.py", *(ROOT / "ablations" / "commands").glob("*.py")]
    for path in modules:
        outside = [name for name in top_level(path) if not name.startswith("ablations.commands")]
        assert set(outside) <= allowed, path


def top_level(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
