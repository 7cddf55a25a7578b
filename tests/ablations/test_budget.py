import re
from dataclasses import replace

import pytest

from ablations.artifacts import Store, write_json
from ablations.budget import Prices, check_cap, estimate
from ablations.cluster import Resources, SlurmCluster
from ablations.errors import PlanError
from ablations.plan import Graph, plan
from ablations.run import expected_cost
from ablations.spec import HOME, load

GPU = Resources(gpus=1)


def cluster(**keys):
    stages = {"pretrain_videos": GPU, "pretrain_images": GPU, "sample": GPU}
    return SlurmCluster(about="test", scheduler="slurm", stages=stages, **keys)


@pytest.fixture(scope="module")
def spec():
    return load("data_curation", "smoke")


def test_an_arm_that_does_more_costs_more(tmp_path):
    (tmp_path / "long.yaml").write_text(
        (HOME / "specs" / "data_curation.yaml")
        .read_text()
        .replace("  filtered:  ", "  long: {pretrain_videos.samples: {times: 100}}\n  filtered:  ")
    )
    usual, longer = load("data_curation"), load(str(tmp_path / "long.yaml"))
    hours = []
    for spec in (usual, longer):
        costs = {
            cost.stage: cost for cost in estimate(spec.core_seconds, spec.base, plan(spec), Store(tmp_path), cluster())
        }
        hours.append(costs["pretrain_videos"].gpu_hours)
    assert hours[1] == pytest.approx(hours[0] * (9 + 3 * 100) / 9)
    graphs = [(spec, plan(spec)) for spec in (usual, longer)]
    seconds = [Prices(spec.core_seconds, spec.base).total(graph.nodes.values(), graph) for spec, graph in graphs]
    assert seconds[1] - seconds[0] > 3 * 99 * usual.core_seconds["pretrain_videos"]


def test_the_scales_seconds_serve_where_nothing_better_does(tmp_path):
    spec = load("data_curation", "laptop")
    graph = plan(spec)
    costs = {cost.stage: cost for cost in estimate(spec.core_seconds, spec.base, graph, Store(tmp_path), cluster())}
    assert set(costs) == {"pretrain_images", "pretrain_videos", "sample"}
    assert costs["pretrain_videos"].gpu_hours == pytest.approx(9 * spec.core_seconds["pretrain_videos"] / 3600)
    assert costs["pretrain_videos"].source == "the scale's core-seconds"


def test_a_recipe_may_have_prices_of_its_own():
    common, larger = (load(name, "laptop").core_seconds for name in ("noise_schedule", "noise_schedule_64"))
    assert larger["sample"] > 4 * common["sample"], "four times the pixels"
    assert larger["corpus"] == common["corpus"]


def test_unknown_stays_unknown(spec, tmp_path):
    costs = estimate(spec.core_seconds, spec.base, plan(spec), Store(tmp_path), cluster())
    assert {cost.gpu_hours for cost in costs} == {None}
    check_cap(costs, cluster(gpu_hours=0.0))


def test_a_local_plan_says_what_it_does_not_know(spec, tmp_path):
    store, graph = Store(tmp_path), plan(spec)
    assert expected_cost(spec, graph, store, 2) == "cost unknown, nothing was measured at this scale"
    priced = replace(spec, core_seconds={"sample": 30.0})
    samples = sum(node.stage == "sample" for node in graph.nodes.values())
    words = f"15 s on {2 * samples} cores, beside {len(graph.nodes) - samples} stages of unknown cost"
    assert expected_cost(priced, graph, store, 2 * samples).endswith(words)
    assert expected_cost(spec, Graph(), store, 2) == "nothing to make"


def test_measured_throughput_comes_before_all_else(spec, tmp_path):
    store, graph = Store(tmp_path), plan(spec)
    (images,) = (node for node in graph.nodes.values() if node.stage == "pretrain_images")

    def made(key, node, seconds=0.0, **changes):
        folder = store.folder("artifacts") / key
        folder.mkdir()
        facts = {"stage": node.stage, "settings": {**node.settings, **changes}, "parents": dict(node.parents)}
        write_json(folder / "manifest.json", {**facts, "accelerator_seconds": seconds})

    for key in graph.closure([images.key]) - {images.key}:
        made(key, graph.nodes[key])
    half = images.settings["samples"] // 2
    for number, seconds in enumerate((10.0, 90.0, 20.0)):
        made(f"pretrain_images-{number}", images, seconds, samples=half)
    small = {**images.settings["network"], "block_out_channels": [8, 8]}
    for number in range(4):  # of another size: they say nothing
        made(f"pretrain_images-small-{number}", images, 0.001, network=small)
    one = SlurmCluster(about="test", scheduler="slurm", stages={"pretrain_images": GPU}, tflops=1.0)
    (cost,) = estimate(spec.core_seconds, spec.base, graph, store, one)
    assert cost.gpu_hours == pytest.approx(2 * 20.0 / 3600)
    assert cost.source == "measured in this store"


@pytest.mark.slow
def test_the_papers_scale_is_planned_by_flops_and_not_run(tmp_path, monkeypatch, capsys):
    """Full-size networks: 12.4 TFLOP a clip of 14 frames at 256 px were counted apart, 77 tokens of text among them."""
    from ablations.flops import counted
    from ablations.run import run_spec, show_plan

    spec = load("data_curation", "paper")
    graph = plan(spec)
    video = next(node for node in graph.nodes.values() if node.stage == "pretrain_videos")
    assert counted(video, graph) / video.settings["samples"] == pytest.approx(12.4e12 * 16 / 14, rel=0.06)
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path))
    with pytest.raises(PlanError, match=r"GPU-hours are over the 500 that the cluster file allows"):
        show_plan("data_curation", "paper", "slurm")
    said = capsys.readouterr().out
    assert "only to be planned: LVD is not public" in said
    assert re.search(r"pretrain_videos +9 +\d\.\d+e\+03 +FLOPs at 290 TFLOP/s a GPU", said)
    assert re.search(r"autoencoder +1 +unknown +nothing yet", said)
    with pytest.raises(PlanError, match="nothing runs at scale paper"):
        run_spec("data_curation", "paper", "slurm", None)


@pytest.mark.parametrize(("trained", "products"), [("all", 3), ("time_embedding", 2)])
def test_frozen_layers_cost_no_gradients_of_their_weights(trained, products):
    """A product forward, one for the gradient of what came in, one for that of the weights."""
    from ablations.flops import phase_passes

    graph = plan(load("image_to_video", "laptop"))
    node = next(node for node in graph.nodes.values() if node.settings.get("task") == "images")
    node = replace(node, settings={**node.settings, "trained": trained})
    both, forward = (phase_passes(node, graph, backward=backward) for backward in (True, False))
    assert both / forward == pytest.approx(products, rel=0.05)


def test_over_the_cap_is_refused_with_what_costs_most(tmp_path):
    spec = load("data_curation", "laptop")
    costs = estimate(spec.core_seconds, spec.base, plan(spec), Store(tmp_path), cluster())
    with pytest.raises(PlanError, match=r"over the 0\.1 that the cluster file allows .* pretrain_videos \(9 jobs"):
        check_cap(costs, cluster(gpu_hours=0.1))
    check_cap(costs, cluster(gpu_hours=1000.0))


@pytest.mark.slow
def test_flops_are_counted_on_networks_without_weights(spec, tmp_path):
    """Against a forward pass of the real network: backward costs about twice the forward."""
    from torch.utils.flop_counter import FlopCounterMode

    from ablations.flops import counted, shape
    from svd_core.models.networks import image_unet

    graph = plan(spec)
    (node,) = (node for node in graph.nodes.values() if node.stage == "pretrain_images")
    _, _, channels, side, text_dim = shape(node, graph, frames=1)
    import torch

    network = image_unet(spec.arms[spec.baseline].pretrain_images.network, channels=channels, text_dim=text_dim)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, channels, side, side), torch.zeros(1), torch.zeros(1, 1, text_dim))
    forward = node.settings["samples"] * counter.get_total_flops()
    assert 2.5 * forward < counted(node, graph) < 3.1 * forward

    costs = {c.stage: c for c in estimate(spec.core_seconds, spec.base, graph, Store(tmp_path), cluster(tflops=1e-6))}
    assert all(cost.gpu_hours > 0 and "FLOPs" in cost.source for cost in costs.values())
    videos = [node for node in graph.nodes.values() if node.stage == "pretrain_videos"]
    samples = [node for node in graph.nodes.values() if node.stage == "sample"]
    one_clip = counted(videos[0], graph) / videos[0].settings["samples"]
    assert counted(samples[0], graph) == pytest.approx(
        2 * samples[0].settings["clips"] * samples[0].settings["steps"] * one_clip / 3, rel=0.1
    )

    moves = plan(load("camera_motion", "laptop"))
    phases = {node.settings["name"]: node for node in moves.nodes.values() if node.stage == "train_phase"}
    each = {n: counted(p, moves) / (p.settings["steps"] * p.settings["batch_size"]) for n, p in phases.items()}
    assert 0.6 < each["zoom"] / each["image_to_video"] < 0.8, "a LoRA needs no gradients of the weights below it"
    clip = next(node for node in moves.nodes.values() if node.stage == "sample_held_out")
    assert counted(clip, moves) == pytest.approx(2 * 32 * 8 * each["image_to_video"] / 3, rel=0.1)

    halves = plan(load("progressive_resolution", "laptop"))
    small, large = (halves.nodes[halves.runs["progressive", 0][stage]] for stage in ("pretrain_videos", "finetune"))
    assert counted(small, halves) == pytest.approx(counted(large, halves) / 4, rel=0.1)
    assert counted(halves.nodes[halves.runs["progressive", 0]["sample"]], halves) == pytest.approx(
        2 * 64 * 8 * one_clip / 3, rel=0.1
    )
