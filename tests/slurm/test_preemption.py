"""Being told to stop: by signals, the time limit, the cluster's own preemption, requeueing; on one node and on two."""

import json
import re

import pytest
from conftest import TRAINS

pytestmark = pytest.mark.timeout(1200)
STEPS, CHECKPOINT_EVERY = 240, 10
ONE, TWO = 0.25, 0.5
MUCH = {"mem_gb": 3.0}
TINY = {"block_out_channels": [32], "attention_levels": [False], "num_attention_heads": [2]}
TINY_IMAGES = {"pretrain_images.samples": 8, "pretrain_images.batch_size": 4, "pretrain_images.network": TINY}
ARMS = {
    "one": {"pretrain_videos.p_mean": TRAINS, "pretrain_videos.lr": ONE},
    "two": {"pretrain_videos.p_mean": TRAINS, "pretrain_videos.lr": TWO},
}


def attempts(lab):
    return [path.read_text().count('"node"') for path in sorted((lab.store / "slurm").glob("*videos*/attempts.*.json"))]


def test_being_stopped_costs_no_more_than_it_must(lab, undisturbed):
    """Told to stop, a task keeps every step; requeued or killed, all up to its checkpoint. Its siblings go on."""
    hows = ("told", "requeued", "killed", "left_alone")
    arms = {how: {"pretrain_videos.p_mean": TRAINS, "pretrain_videos.lr": 0.25 * n} for n, how in enumerate(hows, 1)}
    lab.write_spec(arms, steps=STEPS)
    lab.run()
    told, requeued, killed, left_alone = (lab.key(lr=0.25 * n) for n in range(1, 5))
    blows = {
        told: lambda: lab.cluster.command("scancel", "--signal=USR2", lab.task(told)),
        requeued: lambda: lab.cluster.command("scontrol", "requeue", lab.task(requeued)),
        killed: lambda: lab.kill(killed),
    }

    def strike():
        """Each as soon as it trains: they need not start together."""
        for key in [key for key in blows if len(lab.steps(key)) > 15]:
            blows.pop(key)()
        return not blows

    lab.until(strike)
    lab.until_empty()
    for key in (told, left_alone):
        assert lab.steps(key) == list(range(1, STEPS + 1))  # each step once: nothing lost, nothing done again
    for key in (requeued, killed):
        assert sorted(set(lab.steps(key))) == list(range(1, STEPS + 1))
        assert len(lab.steps(key)) <= STEPS + CHECKPOINT_EVERY
    assert attempts(lab) == [2, 2, 2, 1]
    assert lab.table() == undisturbed(lab)


def test_the_time_limit_is_a_preemption(lab, undisturbed):
    """A limit of one minute, told 58 s ahead or when SLURM next looks, every 30 s; and a training of 35 s."""
    # told before its handlers stand, on a machine so slow, a task dies and is tried again
    lab.write_cluster(stages={"pretrain_videos": {"time_min": 1}}, notice_s=58, retries={"killed": 1000})
    lab.write_spec(ARMS, steps=700)
    lab.run()
    lab.until_empty()
    assert lab.steps(lab.key(lr=ONE)) == list(range(1, 701))
    assert min(attempts(lab)) > 1
    assert lab.table() == undisturbed(lab)


def test_the_clusters_own_preemption_of_real_training(lab, undisturbed):
    """A job of a higher partition pushes real training of a UNet out; it goes on after it, equal to the bit."""
    real = {"pretrain_videos.p_mean": 1.0, "pretrain_videos.lr": 0.001, "pretrain_videos.samples": 500}
    lab.write_cluster(stages={"pretrain_images": MUCH, "pretrain_videos": MUCH, "encode": MUCH})
    lab.write_spec({"one": real, "two": ARMS["two"]}, steps=5, pause=1.0, **TINY_IMAGES)
    lab.run()
    key = lab.key(lr=0.001)
    lab.until(lambda: (lab.status(key).get("done") or 0) > 2)
    task, over = lab.task(key), lab.folder / "over"
    options = ("--partition=urgent", "--nodes=4", "--exclusive", "--mem=0", "--output=/dev/null")
    lab.cluster.command("sbatch", "--parsable", *options, f"--wrap=while [ ! -e {over} ]; do sleep 0.2; done")
    lab.until(lambda: lab.state(task) == "PENDING")
    assert lab.status(key)["state"] == "preempted"
    assert lab.row(key)["state"] == "preempted"
    over.touch()
    lab.until_empty()
    state = [path.name for path in (lab.store / "artifacts" / key / "state").iterdir()]
    assert state == ["000000000500.safetensors"]
    log = next((lab.store / "slurm").glob(f"*pretrain_videos*/{task}_0_log.out")).read_text()
    assert "told to stop by SIGTERM" in log
    assert "asked to stop after" in log
    assert lab.table() == undisturbed(lab)


def test_two_nodes_train_together_and_resume_to_the_bit(lab):
    """Real training over two nodes, in micro-batches as the cluster file says: one arm is told to stop on the way."""
    two_nodes = {**MUCH, "nodes": 2}
    compute = {"pretrain_videos": {"micro_batch": 1}}
    lab.write_cluster(stages={"pretrain_images": MUCH, "pretrain_videos": two_nodes, "encode": MUCH}, compute=compute)
    real = {"pretrain_videos.p_mean": 1.0, "pretrain_videos.batch_size": 4, "pretrain_videos.lr": 0.001}
    # no gradient is ever so long: the arms differ by name alone
    arms = {name: {**real, "pretrain_videos.clip_grad_norm": longest} for name, longest in (("one", 1e8), ("two", 1e9))}
    lab.write_spec(arms, steps=600, pause=1.0, **TINY_IMAGES)
    lab.run()
    nodes = {path.stem: json.loads(path.read_text()) for path in (lab.store / "nodes").glob("pretrain_videos-*.json")}
    told, left_alone = sorted(nodes, key=lambda key: nodes[key]["settings"]["clip_grad_norm"])
    lab.until(lambda: (lab.status(told).get("done") or 0) > 2)
    lab.cluster.command("scancel", "--signal=USR2", lab.task(told))
    lab.until_empty()
    assert attempts(lab) == [2, 1]
    logs = sorted((lab.store / "slurm").glob(f"*pretrain_videos*/{lab.task(told)}_*_log.out"))
    stops = [re.findall(r"asked to stop after (\d+) of 600", log.read_text()) for log in logs]
    assert len(stops) == 2
    assert stops[0] == stops[1] != []  # both ranks after the same step
    one, two = (lab.store / "artifacts" / key for key in (told, left_alone))
    for file in ("ema.safetensors", "metrics.jsonl", "state/000000000600.safetensors"):
        assert (one / file).read_bytes() == (two / file).read_bytes()
    manifest = json.loads((one / "manifest.json").read_text())
    assert (manifest["compute"]["processes"], manifest["compute"]["micro_batch"]) == (2, 1)
    assert "missing" not in lab.table().values()
