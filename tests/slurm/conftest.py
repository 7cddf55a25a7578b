"""A cluster for the session, and a lab: a copy of the code whose stages are light, with a store and a spec."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster import Cluster

from ablations.artifacts import Store
from ablations.slurm.orders import read_orders

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
TRAINS, RAISES, GROWS, EXITS, DIES, ENDLESS, FILLS_DISK = range(100, 107)
PATIENCE_S = 900  # a limit for a machine that is busy with other things, never waited for


@pytest.fixture(scope="session")
def cluster():
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, take the cluster down first
    with Cluster() as started:
        yield started


@pytest.fixture(scope="session")
def light_code(tmp_path_factory):
    """The project's packages with light stages."""
    tree = tmp_path_factory.mktemp("code")
    for package in ("svd_core", "bench", "ablations"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file, more in (("stages.py", "light_stages.py"), ("run.py", "light_report.py")):
        with (tree / "ablations" / file).open("a") as code:
            code.write("\n\n" + (HERE / more).read_text())
    return tree


def pytest_terminal_summary(terminalreporter):
    """Figures that tests read off, whichever process ran them."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, value in report.user_properties:
                    terminalreporter.write_line(f"{name}: {value}")


class Lab:
    """One store and spec on the cluster, and the commands over them."""

    def __init__(self, cluster, code, folder):
        self.cluster, self.code, self.folder, self.store = cluster, code, folder, folder / "store"
        self.environment = {
            **cluster.environment,
            "PYTHONPATH": str(code),
            "ABLATE_STORE": str(self.store),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        self.write_cluster()

    def write_cluster(self, name="light.yaml", **keys):
        everywhere = {"cpus": 1, "mem_gb": 0.5, "time_min": 5, **keys.pop("all", {})}
        stages = {"pretrain_images": {"mem_gb": 3.0}, **keys.pop("stages", {})}
        small = {"report": {"mem_gb": 1.0}, "notice_s": 20, "inline": ["subset"]}
        facts = {"about": "test", "scheduler": "slurm", "all": everywhere, "stages": stages, **small, **keys}
        (self.folder / name).write_text(json.dumps(facts, indent=1))  # JSON is YAML

    def write_spec(self, arms, seeds=(0,), name="light.yaml", steps=20, pause=0.05, core_seconds=None, **recipe):
        """Arms by name: how `pretrain_videos` behaves, as a number or with more settings."""
        given = {arm: how if isinstance(how, dict) else {"pretrain_videos.p_mean": how} for arm, how in arms.items()}
        scale = {
            "pretrain_videos.samples": steps,
            "pretrain_videos.batch_size": 1,
            "pretrain_videos.p_std": pause,
            **recipe,
        }
        spec = {
            "question": "?",
            "recipe": "text_to_video",
            "seeds": list(seeds),
            "baseline": next(iter(arms)),
            "arms": given,
            "primary": "fvd",
            "metrics": ["fvd"],
        }
        folder = self.folder / "specs"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(spec, indent=1))
        file = {"about": "test", "settings": scale, "core_seconds": core_seconds or {}}
        (self.folder / "scale.yaml").write_text(json.dumps(file, indent=1))

    def start(self, command, *arguments, spec="light.yaml", **variables):
        return self.begin(command, f"specs/{spec}", "--scale", "scale.yaml", *arguments, **variables)

    def begin(self, *words, **variables):
        environment = {**self.environment, **variables}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            [sys.executable, "-m", "ablations.cli", *words], cwd=self.folder, env=environment, **pipes
        )

    def ablate(self, command, *arguments, fails=False, **options):
        return self.end(self.start(command, *arguments, **options), fails)

    def errand(self, *words):
        return self.end(self.begin(*words))

    def end(self, process, fails=False):
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
        assert bool(process.returncode) == fails, (process.returncode, stdout, stderr)
        return stdout + stderr

    def orders(self):
        """What was ever submitted, in order."""
        found = [read_orders(Store(self.store), path.parent.name) for path in self.store.glob("slurm/*/orders.json")]
        return sorted(found, key=lambda orders: orders.submitted)

    def run(self, *arguments, out="results", **options):
        return self.ablate("run", "--cluster", "light.yaml", "--out", out, *arguments, **options)

    def pretend(self, **programs):
        """A PATH on which some of SLURM's commands are shell scripts; `real` is what they stand in for."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        for name, script in programs.items():
            (folder / name).write_text(f"#!/bin/bash\nreal={shutil.which(name)}\n{script}\n")
            (folder / name).chmod(0o755)
        return f"{folder}:{os.environ['PATH']}"

    def rows(self, **options):
        process = self.start("status", "--json", **options)
        stdout, stderr = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, stderr
        return json.loads(stdout)

    def row(self, key):
        return next(row for row in self.rows() if row["key"] == key)

    def key(self, stage="pretrain_videos", lr=None, parent=None):
        """A stage's key, by the learning rate or by a parent; read from the store, as `status` takes a second."""
        nodes = {path.stem: json.loads(path.read_text()) for path in (self.store / "nodes").glob(f"{stage}-*.json")}
        found = [
            key
            for key, node in nodes.items()
            if lr in (None, node["settings"].get("lr")) and (parent is None or parent in node["parents"].values())
        ]
        assert len(found) == 1, found
        return found[0]

    def training(self):
        """Keys of the stages that train and are not finished."""
        keys = sorted(path.stem for path in (self.store / "nodes").glob("pretrain_videos-*.json"))
        return [key for key in keys if not (self.store / "artifacts" / key).exists()]

    def status(self, key):
        path = self.store / "status" / f"{key}.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def task(self, key):
        """The array task that was last submitted to make a stage."""
        found = []
        for path in (self.store / "slurm").glob("*/job"):
            orders = json.loads(path.with_name("orders.json").read_text())
            found += [
                (orders["submitted"], f"{path.read_text()}_{i}") for i, ks in orders["tasks"].items() if key in ks
            ]
        return max(found)[1]

    def state(self, task):
        """A task's state in the queue, None if it is not there."""
        return next((state for _, found, state in self.tasks() if found == task), None)

    def steps(self, key):
        """The steps that training really took, in order, repeated ones too."""
        return [int(line.split()[1]) for line in self.trace(key) if line.startswith("step")]

    def kill(self, key):
        """End the process that makes a stage (`scancel --signal=KILL` would take its whole job back)."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.status(key)["pid"], signal.SIGKILL)

    def tasks(self, *options):
        """This store's tasks in the queue: (stage, task, state)."""
        names = ",".join(path.name for path in (self.store / "slurm").glob("*") if path.is_dir())
        if not names:
            return []
        said = self.cluster.command("squeue", "-h", "-r", f"--name={names}", "--format=%j %F_%K %T", *options)
        found = [line.split() for line in said.splitlines()]
        return [(name.split(".")[-2], task, state) for name, task, state in found]

    def until_empty(self):
        self.until(lambda: not self.tasks())

    def until(self, condition, seconds=PATIENCE_S):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                logs = {path.name: path.read_text()[-1500:] for path in (self.store / "slurm").glob("*/*_log.out")}
                raise AssertionError(f"waited in vain; queue: {self.tasks()}; logs: {logs}")
            time.sleep(0.2)

    def trace(self, key):
        path = self.store / "trace" / key
        return path.read_text().splitlines() if path.exists() else []

    def table(self):
        path = self.folder / "results" / "table.md"
        return dict(line.rsplit(" ", 1) for line in path.read_text().splitlines())


@pytest.fixture
def lab(cluster, light_code, tmp_path):
    lab = Lab(cluster, light_code, tmp_path)
    yield lab
    tasks = [task for _, task, _ in lab.tasks()]
    if tasks:
        cluster.command("scancel", "--signal=KILL", "--full", *tasks, check=False)
        cluster.command("scancel", *tasks, check=False)
        lab.until_empty()


@pytest.fixture
def undisturbed(light_code, tmp_path_factory):
    """The table of a spec when everything runs in one process of this machine."""

    def make(lab):
        folder = tmp_path_factory.mktemp("here")
        shutil.copytree(lab.folder / "specs", folder / "specs")
        scale = json.loads((lab.folder / "scale.yaml").read_text())
        if scale["settings"]["pretrain_videos.p_std"] < 1:  # only a pause then
            scale["settings"]["pretrain_videos.p_std"] = 1e-9
        (folder / "scale.yaml").write_text(json.dumps({**scale, "in_process": True}))
        words = ["run", "specs/light.yaml", "--scale", "scale.yaml", "--out", "results"]
        environment = {**os.environ, "PYTHONPATH": str(light_code), "ABLATE_STORE": str(folder / "store")}
        command = [sys.executable, "-m", "ablations.cli", *words]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        return dict(line.rsplit(" ", 1) for line in (folder / "results" / "table.md").read_text().splitlines())

    return make
