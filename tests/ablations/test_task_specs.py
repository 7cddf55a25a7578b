"""Specs of the other tasks: phases are stages, shared wherever arms have them in common."""

import pytest

from ablations.errors import DocumentError
from ablations.plan import plan
from ablations.spec import load


def keys(spec, role):
    return {run: roles.get(role) for run, roles in plan(spec).runs.items()}


@pytest.fixture
def edited(tmp_path):
    def edit(name, old, new):
        spec = load(name)
        assert old in spec.text
        path = tmp_path / f"{name}.yaml"
        path.write_text(spec.text.replace(old, new))
        return load(str(path))

    return edit


def test_arms_share_the_phases_that_they_have_in_common():
    spec = load("multi_view")
    assert len(set(keys(spec, "encoders").values())) == 1
    images = keys(spec, "phase:images")
    assert images["from_scratch", 0] is None
    assert len({images[run] for run in spec.runs() if run[0] != "from_scratch"}) == 1
    assert len(set(keys(spec, "phase:multi_view").values())) == len(spec.runs())


def test_random_spatial_weights_leave_the_image_phase_shared(edited):
    spec = edited("multi_view", "from_images: {", "from_images: {spatial: random, ")
    images, inflated = keys(spec, "phase:images"), keys(load("multi_view"), "phase:multi_view")
    assert images["from_images", 0] == images["from_video", 0]
    changed = keys(spec, "phase:multi_view")
    assert {run for run in changed if changed[run] != inflated[run]} == {("from_images", seed) for seed in spec.seeds}


def test_arms_that_differ_in_sampling_share_the_training():
    spec = load("image_to_video")
    trained, sampled = keys(spec, "phase:image_to_video"), keys(spec, "sample")
    for seed in spec.seeds:
        assert trained["released", seed] == trained["constant_guidance", seed]
        assert trained["released", seed] != trained["much_noise", seed]
    assert len(set(sampled.values())) == len(spec.runs())


def test_two_specs_share_what_their_recipes_say_alike():
    ours, theirs = plan(load("image_to_video")).nodes, plan(load("interpolation")).nodes
    shared = [ours[key].stage for key in ours.keys() & theirs.keys()]
    assert sorted(shared) == ["encoders", "records", "records", "render", "train_phase", "train_phase"]


def test_the_runs_seed_reaches_the_phase_under_study_and_sampling_alone():
    recipe = load("image_to_video").arms["released"].with_seed(7)
    assert {name: phase.seed for name, phase in recipe.phases.items()} == {
        "images": 0,
        "videos": 0,
        "image_to_video": 7,
    }
    assert recipe.sampling.seed == 7


def test_a_star_stands_for_every_name():
    recipe = load("camera_motion", "smoke").arms["zoom"]
    assert {phase.steps for phase in recipe.phases.values()} == {2}
    assert {clips.count for clips in recipe.data.values()} == {4}


def test_a_part_of_what_is_written_is_multiplied(edited):
    spec = edited("multi_view", "from_video: {}", "from_video: {phases.multi_view.steps: {times: 0.5}}")
    steps = {arm: recipe.phases["multi_view"].steps for arm, recipe in spec.arms.items()}
    assert steps["from_video"] == steps["from_images"] / 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{}",
            "{phases.multi_vew.steps: 3}",
            "'phases.multi_vew.steps'; did you mean 'phases.multi_view.s",
        ),
        ("{}", "{phases.multi_view.seed: 3}", "is set by the spec's `seeds`"),
        ("{}", "{order: [images, views]}", "order names phase 'views'; there are: images, image_to_video, multi_view"),
        ("{}", "{reference.frames: 20}", "21 frames of .32, 32., but reference has 20"),
        ("{}", "{reference.count: 3}", "sample.clips is .*, but reference.count is 3: a clip is sampled for each"),
        ("{}", "{execution.compiled: true}", "in a spec the cluster file has `compute`"),
        ("tsed,", "clip_scor,", "unknown metric 'clip_scor'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(edited, old, new, message):
    with pytest.raises(DocumentError, match=message):
        edited("multi_view", old, new)


def test_captions_alone_have_no_true_clips_to_compare_with(edited):
    with pytest.raises(DocumentError, match="compares clips with their true ones, which a run does not have"):
        edited("data_curation", "dynamic_degree]", "lpips]")


def test_a_scale_without_sizes_for_tasks_is_refused(tmp_path):
    scale = tmp_path / "large.yaml"
    scale.write_text("about: large\nsettings: {reference.clips: 1000}\n")
    with pytest.raises(DocumentError, match="has no `tasks`: sizes for recipes such as multi_view"):
        load("multi_view", str(scale))
