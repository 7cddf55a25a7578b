import re

import pytest
from worlds import TRAINED

from ablations.errors import AblateError, DocumentError
from ablations.search.candidate import Candidate
from ablations.search.parameters import Parameter
from ablations.search.study import load
from ablations.spec import available

GOOD = TRAINED.replace("parallel: 3", "kept_share: {min: 0.1}\nfinal: {seeds: [7, 8], reference_seed: 9}")


@pytest.fixture
def write(tmp_path):
    def write_study(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return write_study


def test_every_packaged_study_loads_at_every_scale():
    assert {"filter_thresholds", "kept_clips", "quality_and_size"} <= set(available("studies"))
    for name in available("studies"):
        for scale in available("scales"):
            study = load(name, scale)
            assert Candidate.of(study, study.file.incumbent).identity


def test_a_point_is_a_recipe(write):
    study = load(write(GOOD))
    recipe = study.recipe({"subset.keep.motion.drop_lowest": 0.5, "subset.keep.alignment.drop_lowest": 0.125})
    assert recipe.subset.keep.motion.drop_lowest == 0.5
    assert recipe.score.metrics == ("fvd",)
    assert study.grid == 49


def test_rungs_are_whole_batches_and_end_with_the_whole_training(write):
    assert load(write(GOOD + "pruner: {rungs: 2, factor: 5}\n")).rungs == (200, 1000)
    assert load(write(GOOD)).rungs == (1000,)
    with pytest.raises(DocumentError, match=r"must be a multiple of 32, such as 992"):
        load(write(GOOD + "pruner: {rungs: 4, factor: 2}\n"))


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("parameters:", "paramters:", "3:1", "unknown key 'paramters'; did you mean 'parameters'?"),
        ("motion.drop_lowest: {", "moton.drop_lowest: {", "4:3", "did you mean 'subset.keep.motion.drop_lowest'?"),
        ("high: 0.75", "high: 1.25", "4:3", "should be less than 1; found a number 1.25"),
        ("low: 0.0", "low: 0.75", "4:3", "low 0.75 must be below high 0.75"),
        ("step: 0.125", "step: 0.2", "4:3", "no whole number of steps of 0.2 above 0; say 0.8"),
        ("step: 0.125", "step: 0", "4:58", "greater than 0"),
        ("step: 0.125", "log: true", "4:3", "a logarithmic range begins above 0, not at 0"),
        ("low: 0.0, ", "", "4:3", "a range needs low and high"),
        ("{low: 0.0,", "{choices: [0.1, 0.1], low: 0.0,", "4:3", "either choices or a range"),
        ("[fvd]", "[fdv]", "6:14", "no stage yields 'fdv'; did you mean 'fvd'?"),
        ("[fvd]", "[loss]", "6:14", "no stage yields 'loss'; valid: camera_horizontal"),
        ("[fvd]", "[fvd, fvd]", "6:19", "objective 'fvd' stands twice"),
        ("[fvd]", "[kept_f1]", "11:1", "'kept_f1' is no metric of trained runs"),
        ("motion.drop_lowest: 0.0", "motion.drop_lowest: 0.1", "7:13", "0.1 is not a value that `parameters` allows"),
        ("motion.drop_lowest: 0.0", "text_area.min: 0.1", "7:13", "'subset.keep.text_area.min' is no parameter"),
        (
            ", subset.keep.alignment.drop_lowest: 0.0}",
            "}",
            "7:1",
            "says nothing of the parameter 'subset.keep.alignment",
        ),
        ("{min: 0.1}", "{min: 1.5}", "10:14", "less than or equal to 1; found a number 1.5"),
        ("{min: 0.1}", "{min: 0.5, max: 0.25}", "10:1", "min 0.5 lies above max 0.25: no trial can meet it"),
        ("seeds: [7, 8]", "seeds: [1, 8]", "11:9", "seeds [1] also chose the winner"),
        ("seeds: [7, 8]", "seeds: [7, 7]", "11:20", "seed 7 stands twice"),
        ("seeds: [0, 1]", "seeds: [0, 0]", "8:12", "seed 0 stands twice"),
        ("reference_seed: 9", "reference_seed: 1", "11:24", "that reference also chose the winner"),
        ("reference_seed: 9", "reference_seed: 9, primary: lpips", "11:43", "metric 'lpips' compares clips with their"),
        ("[fvd]", "[lpips]", "6:14", "no stage yields 'lpips': it compares clips with their true ones"),
        (
            "subset.keep.motion.drop_lowest: {",
            "pretrain_videos.batch_size: {",
            "4:3",
            "high and step must be whole",
        ),
        ("subset.keep.motion.drop_lowest: {", "pretrain_videos.samples: {", "4:3", "all trials train for equally many"),
        ("subset.keep.motion.drop_lowest: {", "subset.keep.*.drop_lowest: {", "4:3", "a parameter is one setting"),
        ("text_to_video", "text_to_vidoe", "2:1", "did you mean 'text_to_video'?"),
        ("trials: 12", "trials: 12\npruner: {rungs: 1}", "10:10", "greater than or equal to 2"),
    ],
)
def test_refusals_name_place_and_nearest_word(write, old, new, place, words):
    assert old in GOOD
    with pytest.raises(DocumentError) as caught:
        load(write(GOOD.replace(old, new, 1)))
    message = str(caught.value)
    assert message.split("mine.yaml:")[1].startswith(place + ":"), message
    assert words in message


def test_a_pruner_needs_one_objective_of_trained_runs(write):
    two = GOOD.replace("[fvd]", "[fvd, kept_share]") + "pruner: {rungs: 2, factor: 5}\n"
    with pytest.raises(DocumentError, match="ranks trials by one objective"):
        load(write(two))
    subsets = TRAINED.replace("[fvd]", "[kept_f1]") + "pruner: {rungs: 2, factor: 5}\n"
    with pytest.raises(DocumentError, match="needs no training"):
        load(write(subsets))


def test_unknown_names_list_the_nearest():
    with pytest.raises(AblateError, match=re.escape("no study named 'kept_clip'; did you mean 'kept_clips'?")):
        load("kept_clip")


def test_which_values_a_parameter_holds():
    steps = Parameter(low=0.0, high=0.3, step=0.1)
    assert [steps.holds(value) for value in (0, 0.1, 0.3, 0.15, 0.4, True, "0.1")] == [True] * 3 + [False] * 4
    assert steps.levels == 4
    words = Parameter(choices=("a", "b"))
    assert words.holds("a")
    assert not words.holds("c")
