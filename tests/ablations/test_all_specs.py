"""Every packaged spec at smoke scale, its first seed only, over one store: what they share is made once."""

from dataclasses import replace
from pathlib import Path

import pytest

from ablations.artifacts import Store, read_json
from ablations.launch import Outcome, run_here
from ablations.plan import Graph, plan
from ablations.spec import available, load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def first_seed(name):
    """The spec with its first seed, two samples a run and no FVD, which would take half of the time."""
    spec = load(name, "smoke")
    metrics = tuple(metric for metric in spec.metrics if metric != "fvd")

    def small(recipe):
        sample, score = (
            recipe.sample.model_copy(update={"clips": 2}),
            recipe.score.model_copy(update={"metrics": metrics}),
        )
        return recipe.model_copy(update={"sample": sample, "score": score})

    return replace(spec, seeds=spec.seeds[:1], arms={arm: small(recipe) for arm, recipe in spec.arms.items()})


@pytest.fixture(scope="module")
def store(smoke_store):
    """The store after every stage of every spec was asked for."""
    whole, store, outcome = Graph(), Store(Path(smoke_store)), Outcome()
    for name in available("specs"):
        graph = plan(first_seed(name))
        whole.nodes.update(graph.nodes)
    run_here(whole, store, outcome, lambda: None)
    assert outcome.failed == {}
    return store


@pytest.mark.parametrize("name", available("specs"))
def test_every_arm_of_every_spec_is_scored(store, name):
    spec = first_seed(name)
    for roles in plan(spec).runs.values():
        scores = read_json(store.artifact(roles["score"]) / "scores.json")
        assert {metric: entry["error"] for metric, entry in scores.items()} == dict.fromkeys(scores)
        assert scores.keys() == set(spec.metrics) - {"fvd"}
    assert len({roles["score"] for roles in plan(spec).runs.values()}) == len(spec.arms)


@pytest.mark.parametrize(
    ("name", "arm", "rest_learns"),
    [("temporal_layers_only", "temporal_layers", True), ("hq_finetuning", "image_only_late", False)],
)
def test_still_layers_stand_still_and_the_rest_learns(store, name, arm, rest_learns):
    from safetensors.torch import load_file

    from svd_core.models.inflation import is_new, video_name

    roles = plan(first_seed(name)).runs[arm, 0]
    images = load_file(store.artifact(roles["pretrain_images"]) / "ema.safetensors")
    video = load_file(store.artifact(roles["pretrain_videos"]) / "ema.safetensors")
    for weight, value in images.items():
        assert (video[video_name(weight)] == value.reshape(video[video_name(weight)].shape)).all(), weight
    new = [value for weight, value in video.items() if is_new(weight) and weight.endswith("conv2.weight")]
    assert (max(value.abs().max() for value in new) > 1e-20) == rest_learns


def test_the_random_arm_starts_from_the_network_as_it_was_drawn(store):
    import torch
    from safetensors.torch import load_file

    from svd_core.models.networks import image_unet

    graph = plan(first_seed("image_pretraining"))
    key = graph.runs["random", 0]["pretrain_images"]
    torch.manual_seed(0)
    network = image_unet(
        load("image_pretraining", "smoke").arms["random"].pretrain_images.network, channels=12, text_dim=64
    )
    trained = load_file(store.artifact(key) / "ema.safetensors")
    for name, value in network.named_parameters():
        assert torch.allclose(trained[name], value, rtol=0, atol=1e-30), name
