"""How long a report takes, for a thousand runs with scores in the store, and how soon a browser shows one."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from ablations.artifacts import Store, write_json
from ablations.plan import Graph, plan
from ablations.spec import load
from bench.performance.goals import goal
from svd_core.curation.table import SCORES

CLIPS = 16
SOURCES, SHOTS, FRAMES, FPS = 1000, 3, 16, 8.0
"""Of the corpus: as many videos, shots and frames of each as at laptop scale."""


LEVELS = {"..-2": None, "-2..-1": 0.7, "-1..0": 0.5, "0..1": 0.4, "1..2": 0.3, "2..": 0.2}


def spec_text(arms: int, seeds: int) -> str:
    """A spec with so many arms and seeds."""
    lines = [
        "question: How long does it take?",
        "recipe: text_to_video",
        f"seeds: [{', '.join(map(str, range(seeds)))}]",
    ]
    lines += ["baseline: arm_0", "arms:", "  arm_0: {}"]
    lines += [f"  arm_{n}: {{subset.keep: {{motion: {{drop_lowest: {n / (2 * arms):.4f}}}}}}}" for n in range(1, arms)]
    return "\n".join([*lines, "primary: fvd", "metrics: [fvd, fd_vgg16, toy_clip_score, dynamic_degree]", ""])


class Filled:
    """A store in which every run of a graph is scored; what is alike is one file under many names."""

    def __init__(self, store: Store, graph: Graph, templates: Path) -> None:
        self.store, self.graph, self.templates = store, graph, templates
        templates.mkdir()
        draws = np.random.default_rng(0)
        videos = draws.integers(0, 256, (CLIPS, 10, 3, 8, 8), np.uint8).repeat(4, 3).repeat(4, 4)
        save_file({"videos": videos}, templates / "videos.safetensors")
        save_file({"videos": videos}, templates / "clips.safetensors")
        write_json(templates / "prompts.json", [{"prompt": f"prompt {n}", "fps": 8} for n in range(CLIPS)])
        lines = [
            json.dumps({"samples": n, "loss": 1 / n, "grad_norm": 1.0, "loss_by_sigma": LEVELS})
            for n in range(100, 2501, 100)
        ]
        (templates / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        self._curated(draws)
        for number, key in enumerate(graph.nodes):
            self._fill(key, number, draws)

    def _curated(self, draws: np.random.Generator) -> None:
        """Clips that are the shots, with scores that tell nothing, and the truth of them."""
        count = SOURCES * SHOTS
        shot = pl.Series(range(count)) % SHOTS
        places = pl.DataFrame({"source": [f"{n // SHOTS:05d}" for n in range(count)], "shot": shot})
        kinds = [("start", "cut", "fade")[n % SHOTS] for n in range(count)]
        defects = {name: draws.random(count) < 0.2 for name in ("static", "text", "poor_looks", "wrong_caption")}
        truth = places.with_columns(
            start_frame=shot * FRAMES, end_frame=(shot + 1) * FRAMES, fps=FPS, good=draws.random(count) < 0.2,
            transition=pl.Series(kinds), **{name: pl.Series(column) for name, column in defects.items()},
        )  # fmt: skip
        truth.write_parquet(self.templates / "truth.parquet")
        scores = {name: pl.Series(draws.normal(0, 1, count)) for name in SCORES}
        clips = places.select("source", clip_id=pl.Series(map(str, range(count))), start_s=shot * FRAMES / FPS,
                              end_s=(shot + 1) * FRAMES / FPS, error=pl.lit(None, pl.String), **scores)  # fmt: skip
        clips.write_parquet(self.templates / "clips.parquet")
        cuts = truth.filter(pl.col("transition") != "start")
        cuts.select("source", frame="start_frame", kind="transition").write_parquet(
            self.templates / "transitions.parquet"
        )

    def _fill(self, key: str, number: int, draws: np.random.Generator) -> None:
        node, folder = self.graph.nodes[key], self.store.artifact(key)
        folder.mkdir(parents=True)
        links = {"sample": ("videos.safetensors", "prompts.json"), "pretrain_videos": ("metrics.jsonl",)}
        links |= {"reference": ("clips.safetensors",), "corpus": ("truth.parquet",)}
        links["curate"] = ("clips.parquet", "transitions.parquet")
        for name in links.get(node.stage, ()):
            os.link(self.templates / name, folder / name)
        if node.stage == "score":
            self._score(folder, draws)
        if node.stage == "subset":
            write_json(folder / "funnel.json", {"steps": [step(number)] if number else []})
            kept = [str(n) for n in range(SOURCES * SHOTS - number)]
            pl.DataFrame({"clip_id": kept}).write_parquet(folder / "subset.parquet")
        write_json(folder / "manifest.json", {"seconds": 1.0, "accelerator_seconds": 0.0})

    def _score(self, folder: Path, draws: np.random.Generator) -> None:
        common = {"weights": None, "n": CLIPS, "n_reference": 64, "frames": 10, "resolution": 32, "error": None}
        names = {"fvd": "lower", "fd_vgg16": "lower", "toy_clip_score": "higher", "dynamic_degree": "higher"}
        scores = {
            name: {"value": draws.normal(100, 5), "name": name, "direction": way, "encoder": None, **common}
            for name, way in names.items()
        }
        write_json(folder / "scores.json", scores)
        clips = {
            "clip": list(range(CLIPS)),
            "metric": ["toy_clip_score"] * CLIPS,
            "value": draws.normal(0.3, 0.1, CLIPS),
        }
        pl.DataFrame(clips).write_parquet(folder / "per_clip.parquet")


def step(removed: int) -> dict[str, Any]:
    """A funnel's one predicate."""
    counts = {"removed_alone": removed, "removed_in_sequence": removed, "remaining": SOURCES * SHOTS - removed}
    return {"axis": "motion", "predicate": "drop_lowest 0.1", "threshold": -1.0 + removed / 100, **counts}


def filled(folder: Path, arms: int, seeds: int) -> list[str]:
    """A store of `arms` × `seeds` scored runs in `folder`; gives the command that writes the report."""
    spec = folder / "question.yaml"
    spec.write_text(spec_text(arms, seeds))
    Filled(Store(folder / "store"), plan(load(str(spec), "smoke")), folder / "templates")
    command = [sys.executable, "-m", "ablations.cli", "report", str(spec), "--scale", "smoke"]
    return [*command, "--out", str(folder / "report")]


def run(command: list[str], folder: Path) -> None:
    """One whole process."""
    environment = {**os.environ, "ABLATE_STORE": str(folder / "store"), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, capture_output=True)


@pytest.mark.parametrize(("arms", "seeds"), [(3, 3), (10, 10), (20, 50)])
def test_report(benchmark: Any, tmp_path: Path, arms: int, seeds: int) -> None:
    command = filled(tmp_path, arms, seeds)
    benchmark.pedantic(lambda: run(command, tmp_path), rounds=3 if arms < 20 else 2, iterations=1)
    benchmark.extra_info["runs"] = arms * seeds
    report = [path for path in (tmp_path / "report").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in report) / 1e6
    if arms == 3:
        goal(benchmark, "report of 3 arms on disk, MB", size, at_most=30)
    if arms * seeds >= 1000:
        goal(benchmark, "report of 1,000 runs, s", benchmark.stats["median"], at_most=20)


@contextmanager
def chromium() -> Iterator[Any]:
    """Headless Chromium."""
    from selenium import webdriver

    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("chromium and chromium-driver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield opened
    finally:
        opened.quit()


PAINT = "return performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)"


def test_first_paint_from_disk(benchmark: Any, tmp_path: Path) -> None:
    run(filled(tmp_path, 3, 3), tmp_path)
    address = (tmp_path / "report" / "report.html").as_uri()
    painted: list[float] = []
    with chromium() as browser:

        def open_page() -> None:
            browser.get("about:blank")
            browser.get(address)
            while not (found := browser.execute_script(PAINT)):
                time.sleep(0.05)
            painted.append(found[0] / 1000)

        benchmark.pedantic(open_page, rounds=5, iterations=1)
    goal(benchmark, "first contentful paint from disk, s", median(painted), at_most=1)
