"""Being told to stop: by signals, the time limit, the cluster's own preemption, requeueing; on one node and on two."""

import pytest
from conftest import TRAINS, TWO_NODES

pytestmark = pytest.mark.timeout(600)
STEPS, CHECKPOINT_EVERY = 240, 10
ONE, TWO = 0.25, 0.5
ARMS = {
    "one": {"pretrain_videos.p_mean": TRAINS, "pretrain_videos.lr": ONE},
    "two": {"pretrain_videos.p_mean": TRAINS, "pretrain_videos.lr": TWO},
}


def attempts(lab):
    return [path.read_text().count('"node"') for path in sorted((lab.store / "slurm").glob("*videos*/attempts.*.json"))]


def test_usr2_keeps_every_step_and_requeues_this_task_alone(lab, undisturbed):
    lab.write_spec(ARMS, steps=STEPS)
    lab.run()
    one, two = lab.key(lr=ONE), lab.key(lr=TWO)
    lab.until(lambda: len(lab.steps(one)) > 5 and len(lab.steps(two)) > 5)
    lab.cluster.command("scancel", "--signal=USR2", lab.task(one))
    lab.until_empty()
    assert lab.steps(one) == list(range(1, STEPS + 1))  # each step once: nothing lost, nothing done again
    assert lab.steps(two) == list(range(1, STEPS + 1))
    assert attempts(lab) == [2, 1]
    assert lab.table() == undisturbed(lab)


def test_the_time_limit_is_a_preemption(lab, undisturbed):
    """A limit of one minute, told 52 s ahead, and a training of 30 s."""
    lab.write_cluster(stages={"pretrain_videos": {"time_min": 1}}, notice_s=52)
    lab.write_spec(ARMS, steps=600)
    lab.run()
    lab.until_empty()
    assert lab.steps(lab.key(lr=ONE)) == list(range(1, 601))
    assert min(attempts(lab)) > 1
    assert lab.table() == undisturbed(lab)


@pytest.mark.parametrize("how", ["requeue", "kill"])
def test_what_gives_no_time_costs_at_most_the_work_since_the_checkpoint(lab, undisturbed, how):
    lab.write_spec(ARMS, steps=STEPS)
    lab.run()
    one = lab.key(lr=ONE)
    lab.until(lambda: len(lab.steps(one)) > 15)
    if how == "requeue":
        lab.cluster.command("scontrol", "requeue", lab.task(one))
    else:
        lab.kill(one)
    lab.until_empty()
    done = lab.steps(one)
    assert sorted(set(done)) == list(range(1, STEPS + 1))
    assert STEPS <= len(done) <= STEPS + CHECKPOINT_EVERY
    assert attempts(lab) == [2, 1]
    assert lab.table() == undisturbed(lab)


def test_the_clusters_own_preemption_of_real_training(lab, undisturbed):
    """A job of a higher partition pushes real training of a UNet out; it goes on after it, equal to the bit."""
    real = {"pretrain_videos.p_mean": 1.0, "pretrain_videos.lr": 0.001, "pretrain_videos.samples": 300}
    much = {"mem_gb": 3.0}
    lab.write_cluster(stages={"pretrain_images": much, "pretrain_videos": much, "encode": much})
    network = {"block_out_channels": [32], "attention_levels": [False], "num_attention_heads": [2]}
    images = {"pretrain_images.samples": 8, "pretrain_images.batch_size": 4, "pretrain_images.network": network}
    lab.write_spec({"one": real, "two": ARMS["two"]}, steps=5, pause=1.0, **images)
    lab.run()
    key = lab.key(lr=0.001)
    lab.until(lambda: (lab.status(key).get("done") or 0) > 20)
    task, node = lab.task(key), lab.status(key)["host"]
    options = ("--partition=urgent", f"--nodelist={node}", "--exclusive", "--mem=0", "--output=/dev/null")
    lab.cluster.command("sbatch", "--parsable", *options, "--wrap=sleep 2")
    lab.until(lambda: lab.state(task) == "PENDING")
    assert lab.status(key)["state"] == "preempted"
    assert lab.row(key)["state"] == "preempted"
    lab.until_empty()
    state = [path.name for path in (lab.store / "artifacts" / key / "state").iterdir()]
    assert state == ["000000000300.safetensors"]
    log = next((lab.store / "slurm").glob(f"*pretrain_videos*/{task}_0_log.out")).read_text()
    assert "told to stop by SIGTERM" in log
    assert "asked to stop after" in log
    assert lab.table() == undisturbed(lab)


def test_two_nodes_agree_on_the_step_and_resume(lab):
    together = {"pretrain_videos.p_mean": TWO_NODES}
    arms = {"one": {**together, "pretrain_videos.lr": ONE}, "two": {**together, "pretrain_videos.lr": TWO}}
    lab.write_cluster(stages={"pretrain_videos": {"nodes": 2, "mem_gb": 2.0}})
    lab.write_spec(arms, steps=100, pause=0.1)
    lab.run()
    one, two = lab.key(lr=ONE), lab.key(lr=TWO)
    lab.until(lambda: (lab.status(one).get("done") or 0) > 5)
    lab.cluster.command("scancel", "--signal=USR2", lab.task(one))
    lab.until_empty()
    assert attempts(lab) == [2, 1]
    stops = [line.split() for line in lab.trace(one) if line.startswith("rank")]
    assert sorted(line[1] for line in stops) == ["0", "1"]
    assert len({line[-1] for line in stops}) == 1  # both ranks stopped after the same step
    table = lab.table()
    assert table["one 0"] == table["two 0"]  # the learning rate is only a name here: `two` was left alone
    assert "missing" not in table.values()
    assert lab.trace(two) == ["made", "made"]
