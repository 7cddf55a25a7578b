import pytest

from ablations.cluster import LocalCluster, SlurmCluster, complaint, load_cluster
from ablations.errors import DocumentError, PlanError
from ablations.slurm.errands import slurm_cluster

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
