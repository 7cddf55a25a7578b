"""sbatch scripts beside golden files: `UPDATE_GOLDEN=1 pytest` writes them anew, for a reader to judge the diff."""

import os
from pathlib import Path

import pytest

from ablations.artifacts import Store
from ablations.cluster import Resources, Retries, SlurmCluster
from ablations.slurm.orders import Orders
from ablations.slurm.submit import Executor, indices

GOLDEN = Path(__file__).parent / "golden"
PLAIN = SlurmCluster(about="test", scheduler="slurm", python="python")
FULL = Resources(
    partition="gpu",
    account="research",
    qos="high",
    constraint="h100&nvlink",
    exclude="node[7,9]",
    nodes=2,
    tasks=8,
    gpus=8,
    cpus=12,
    mem_gb=900.5,
    time_min=1440,
    parallel=16,
    setup=("module load cuda/12.4", "source /opt/env/bin/activate"),
)
CASES = {
    "plain": (PLAIN, Resources(), {0: ["corpus-1"]}, None),
    "matching": (PLAIN, Resources(gpus=1, mem_gb=12), {n: [f"sample-{n}"] for n in (0, 1, 2, 5)}, "aftercorr:17"),
    "everything": (
        PLAIN.model_copy(update={"notice_s": 300, "python": "singularity exec lab.sif python"}),
        FULL,
        {n: [f"pretrain_videos-{n}"] for n in range(500)},
        "afterok:12_0:13",
    ),
}


def script(tmp_path, cluster, resources, tasks, after):
    store = Store(tmp_path / "store")
    orders = Orders(
        name="ablate.spec.stage.0123abcd",
        spec="spec",
        scale="laptop",
        cluster="mine.yaml",
        stage="stage",
        tasks=tasks,
        resources=resources.model_dump(mode="json"),
        retries=Retries().model_dump(),
        gpus=resources.all_gpus,
        gpu_hours=None,
        notice_s=cluster.notice_s,
        snapshot=f"{tmp_path}/store/code/0123",
        packages={},
        dependency=after,
    )
    return Executor(store, orders, cluster).script().replace(str(tmp_path), "/shared")


@pytest.fixture(autouse=True)
def _as_on_a_cluster(monkeypatch):
    monkeypatch.setattr("submitit.SlurmExecutor.affinity", lambda *_: 2)


@pytest.mark.parametrize("case", CASES)
def test_golden(case, tmp_path):
    text, path = script(tmp_path, *CASES[case]), GOLDEN / f"{case}.sh"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize(
    ("numbers", "parallel", "said"),
    [([0], 256, "0%1"), ([0, 1, 2], 2, "0-2%2"), ([0, 2, 3, 4, 9], 256, "0,2-4,9%5"), ([5, 2], 9, "5,2%2")],
)
def test_indices(numbers, parallel, said):
    assert indices(numbers, parallel) == said


def test_orders_come_back_as_they_were_written(tmp_path):
    from ablations.slurm.orders import read_orders

    script(tmp_path, *CASES["plain"])
    orders = Orders(
        name="n", spec="s", scale="laptop", cluster="c", stage="t", tasks={3: ["a", "b"]}, resources={}, retries={},
        gpus=0, gpu_hours=1.5, notice_s=9, snapshot="/x", packages={"torch": "2"},
    )  # fmt: skip
    orders.write(Store(tmp_path))
    assert read_orders(Store(tmp_path), "n") == orders
