"""Being told to stop: by signals, the time limit, the cluster's own preemption, requeueing; on one node and on two."""

import pytest
from conftest import TRAINS, TWO_NODES

pytestmark = pytest.mark.timeout(1200)
STEPS, CHECKPOINT_EVERY = 240, 10
ONE, TWO = 0.25, 0.5
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
    real = {"pretrain_videos.p_mean": 1.0, "pretrain_videos.lr": 0.001, "pretrain_videos.samples": 200}
    much = {"mem_gb": 3.0}
    lab.write_cluster(stages={"pretrain_images": much, "pretrain_videos": much, "encode": much})
    network = {"block_out_channels": [32], "attention_levels": [False], "num_attention_heads": [2]}
    images = {"pretrain_images.samples": 8, "pretrain_images.batch_size": 4, "pretrain_images.network": network}
    lab.write_spec({"one": real, "two": ARMS["two"]}, steps=5, pause=1.0, **images)
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
    assert state == ["000000000200.safetensors"]
    log = next((lab.store / "slurm").glob(f"*pretrain_videos*/{task}_0_log.out")).read_text()
    assert "told to stop by SIGTERM" in log
    assert "asked to stop after" in log
    assert lab.table() == undisturbed(lab)


def test_two_nodes_agree_on_the_step_and_resume(lab):
    together = {"pretrain_videos.p_mean": TWO_NODES}
    arms = {"one": {**together, "pretrain_videos.lr": ONE}, "two": {**together, "pretrain_videos.lr": TWO}}
    lab.write_cluster(stages={"pretrain_videos": {"nodes": 2, "mem_gb": 2.0}})
    lab.write_spec(arms, steps=60, pause=0.1)
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
