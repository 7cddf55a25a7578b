"""Twenty runs while everything that can befall a job befalls them."""

import random
import signal
import time

import pytest
from conftest import TRAINS

from ablations.artifacts import Store

pytestmark = pytest.mark.timeout(1800)
ARMS = {f"arm{n}": {"pretrain_videos.p_mean": TRAINS, "pretrain_videos.lr": 0.25 + n} for n in range(4)}
SECONDS = 45
STEPS = 300


class Storm:
    """Blows at the stages that train, at whom by a seeded choice; of four in a row each is another."""

    def __init__(self, lab):
        self.lab, self.draw, self.blows, self.coming = lab, random.Random(0), [], []

    def blow(self):
        running = {task for stage, task, state in self.lab.tasks() if (stage, state) == ("pretrain_videos", "RUNNING")}
        keys = [key for key in self.lab.training() if self.lab.task(key) in running and self.lab.steps(key)]
        if keys:
            if not self.coming:
                self.coming = self.draw.sample([self.told, self.requeued, self.killed, self.node_restarted], 4)
            what = self.coming.pop()
            what(self.draw.choice(keys))
            self.blows.append(what.__name__)

    def told(self, key):
        self.lab.cluster.command("scancel", "--signal=USR2", self.lab.task(key), check=False)

    def requeued(self, key):
        self.lab.cluster.command("scontrol", "requeue", self.lab.task(key), check=False)

    def killed(self, key):
        self.lab.kill(key)

    def node_restarted(self, key):
        node = self.lab.status(key)["host"]
        self.lab.cluster.stop(node)
        time.sleep(1)
        self.lab.cluster.start_node(node)


def test_everything_finishes_once_and_equal(lab, undisturbed):
    lab.write_spec(ARMS, seeds=range(5), steps=STEPS)
    command = ("run", "--cluster", "light.yaml", "--out", "results")
    storm = Storm(lab)
    for patience in (2.5, 4.0):  # killed before, while or after it submits
        process = lab.start(*command)
        time.sleep(patience)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    lab.run()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        storm.blow()
        time.sleep(1)
    assert {"told", "requeued", "killed", "node_restarted"} <= set(storm.blows)

    for _ in range(4):
        lab.until_empty()
        lab.cluster.until_idle()
        if "were on their way" not in (said := lab.run()) and "submitted" not in said:
            break
    table = lab.table()
    assert "missing" not in table.values()
    assert table == undisturbed(lab)

    store = Store(lab.store)
    keys = [path.name for path in (lab.store / "artifacts").iterdir()]
    assert len(keys) == 61
    for key in keys:
        assert store.damage(key) is None
        if key.startswith("pretrain_videos"):
            assert sorted(set(lab.steps(key))) == list(range(1, STEPS + 1))
            finished = (store.artifact(key) / "manifest.json").stat().st_mtime
            assert (lab.store / "trace" / key).stat().st_mtime <= finished  # nobody began a finished stage again
