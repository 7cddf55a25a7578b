import pytest

from ablations.cluster import LocalCluster, SlurmCluster, check_processes, complaint, load_cluster
from ablations.errors import DocumentError, PlanError
from ablations.slurm.errands import slurm_cluster
from ablations.stage import Node

FILE = """about: ours
scheduler: slurm
all: {partition: cpu, mem_gb: 4}
stages:
  pretrain_videos: {partition: gpu, gpus: 2, nodes: 3}
report: {time_min: 5}
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "ours.yaml"
    file.write_text(FILE)
    return file


def test_a_stage_has_its_own_over_what_all_have(path):
    cluster = load_cluster(str(path))
    assert isinstance(cluster, SlurmCluster)
    videos, score, report = (cluster.resources(stage) for stage in ("pretrain_videos", "score", "report"))
    assert (videos.partition, videos.mem_gb, videos.all_gpus) == ("gpu", 4, 6)
    assert (score.partition, score.all_gpus) == ("cpu", 0)
    assert (report.partition, report.time_min) == ("cpu", 5)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("pretrain_videos:", "pretrain_video:", "unknown stage 'pretrain_video'; did you mean 'pretrain_videos'?"),
        ("gpus: 2", "gpu: 2", "ours.yaml:5:37: unknown key 'gpu'; did you mean 'gpus'?"),
        ("gpus: 2", "gpus: -2", "ours.yaml:5:37: "),
        ("partition: cpu", 'partition: "cpu; rm -rf x"', "ours.yaml:3:7: "),
        ("slurm", "pbs", "'slurm'"),
        (
            "report:",
            "compute: {score: {micro_batch: 2}}\nreport:",
            "ours.yaml:6:11: compute.score.[key]: should be 'pretrain_images', 'pretrain_videos', 'finetune' or",
        ),
        (
            "report:",
            "compute: {finetune: {strategy: zero}}\nreport:",
            "ours.yaml:6:22: compute.finetune.strategy: should be 'ddp' or 'fsdp'",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(path, old, new, said):
    path.write_text(FILE.replace(old, new))
    with pytest.raises(DocumentError) as refused:
        load_cluster(str(path))
    assert said in str(refused.value)


def test_slurms_refusal_points_at_the_line_that_the_resource_comes_from(path):
    assert f"{path}:5:21: no such" in str(complaint(str(path), "pretrain_videos", "partition", "no such"))
    assert f"{path}:3:7: no such" in str(complaint(str(path), "score", "partition", "no such"))


def test_the_packaged_clusters():
    assert isinstance(load_cluster("local"), LocalCluster)
    assert isinstance(load_cluster("slurm"), SlurmCluster)
    with pytest.raises(PlanError, match="'local' is no SLURM cluster"):
        slurm_cluster("local")


def nodes(**batches):
    """Stages of a graph that say how large a batch is, and one that knows none."""
    settings = {stage: {"batch_size": size} for stage, size in batches.items()} | {"sample": {"batch_size": 3}}
    return [Node(stage, settings[stage], {}, "0") for stage in settings]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "nodes: 3",
            "nodes: 4, tasks: 2",
            "ours.yaml:5:56: pretrain_videos has batches of 12, which 8 processes cannot",
        ),
        ("report:", "compute: {pretrain_videos: {micro_batch: 3}}\nreport:", "ours.yaml:6:29: a process's 4 samples"),
        (
            "mem_gb: 4",
            "nodes: 2",
            "ours.yaml:3:23: sample is made by one process, not by 2; several make pretrain_images",
        ),
    ],
)
def test_batches_are_shared_evenly_or_refused_before_anything_is_submitted(path, old, new, said):
    check_processes(str(path), load_cluster(str(path)), nodes(pretrain_videos=12, pretrain_images=7))
    path.write_text(FILE.replace(old, new))
    with pytest.raises(DocumentError) as refused:
        check_processes(str(path), load_cluster(str(path)), nodes(pretrain_videos=12))
    assert said in str(refused.value)


def test_micro_batches_of_one_machine(path):
    path.write_text("about: mine\ncompute: {finetune: {micro_batch: 4}}\n")
    check_processes(str(path), load_cluster(str(path)), nodes(finetune=8))
    with pytest.raises(DocumentError, match=r"ours.yaml:2:22: a process's 6 samples of a step of finetune cannot"):
        check_processes(str(path), load_cluster(str(path)), nodes(finetune=6))
