import re
from pathlib import Path

import pytest

from ablations.document import Document
from ablations.errors import AblateError, DocumentError
from ablations.spec import available, load

GOOD = """\
question: Does it help?
recipe: text_to_video
seeds: [0, 1]
baseline: plain
arms:
  plain: {}
  kept:
    subset.keep: {motion: {drop_lowest: 0.25}}
  control:
    subset.sample: {match: kept}
primary: fvd
metrics: [fvd, dynamic_degree]
"""


@pytest.fixture
def write(tmp_path):
    def write_spec(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return write_spec


def test_every_packaged_spec_loads_at_every_scale():
    for name in available("specs"):
        for scale in available("scales"):
            spec = load(name, scale)
            assert spec.primary in spec.metrics
            assert spec.baseline in spec.arms


def test_a_scale_without_sizes_for_a_task_is_refused(tmp_path):
    (tmp_path / "small.yaml").write_text("about: small\nsettings: {sample.clips: 2}\n")
    with pytest.raises(DocumentError, match="has no `tasks`: sizes for recipes such as multi_view"):
        load("multi_view", str(tmp_path / "small.yaml"))


def test_a_users_own_spec_resolves_every_arm(write):
    spec = load(write(GOOD))
    assert spec.name == "mine"
    assert spec.runs() == [("plain", 0), ("kept", 0), ("control", 0), ("plain", 1), ("kept", 1), ("control", 1)]
    assert spec.arms["plain"].subset.keep.motion is None
    assert spec.arms["kept"].subset.keep.motion.drop_lowest == 0.25
    assert spec.arms["control"].subset.sample.match == spec.arms["kept"].subset.keep
    assert spec.arms["plain"].score.metrics == ("fvd", "dynamic_degree")
    assert spec.family is None


def test_the_family_that_the_verdict_covers(write):
    assert load(write(GOOD.replace("primary:", "family: [kept]\nprimary:"))).family == ("kept",)


def test_merge_keys_bring_settings_in_and_complaints_find_them(write):
    text = """
question: q
recipe: text_to_video
seeds: [0]
baseline: one
arms:
  one: &both {pretrain_videos.lr: 1.0e-3}
  two: {<<: *both, pretrain_videos.p_mean: 0.0}
primary: fvd
metrics: [fvd]
"""
    arms = load(write(text)).arms
    assert arms["two"].pretrain_videos.lr == 1e-3
    merged = ("arms", "two", "pretrain_videos.lr")
    assert "mine.yaml:8:8: wrong" in str(Document(Path(write(text))).error(merged, "wrong"))


def test_numbers_with_exponents_are_numbers(write):
    spec = load(write(GOOD.replace("plain: {}", "plain: {pretrain_videos.lr: 1e-4}")))
    assert spec.arms["plain"].pretrain_videos.lr == 1e-4


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("question:", "qestion:", "1:1", "unknown key 'qestion'; did you mean 'question'?"),
        ("baseline: plain\n", "", "1:1", "missing key 'baseline'"),
        ("baseline: plain", "baseline: plian", "4:1", "unknown arm 'plian'; did you mean 'plain'?"),
        ("seeds: [0, 1]", "seeds: []", "3:1", "at least 1"),
        ("seeds: [0, 1]", "seeds: [0, 0]", "3:12", "seed 0 stands twice"),
        ("seeds: [0, 1]", "seeds: [0, -1]", "3:12", "greater than or equal to 0; found a whole number -1"),
        ("seeds: [0, 1]", "seeds: [0, one]", "3:12", "found text 'one'"),
        ("seeds: [0, 1]", "seeds: 3", "3:1", "found a whole number 3"),
        ("primary: fvd", "primary: fdv", "11:1", "unknown metric 'fdv'; did you mean 'fvd'?"),
        ("primary: fvd", "primary: fid", "11:1", "'fid' is not among `metrics`: fvd, dynamic_degree"),
        ("dynamic_degree]", "dynamic_degre]", "12:16", "did you mean 'dynamic_degree'?"),
        ("primary: fvd", "family: [kep]\nprimary: fvd", "11:10", "unknown arm 'kep'; did you mean 'kept'?"),
        ("primary: fvd", "family: [plain]\nprimary: fvd", "11:10", "unknown arm 'plain'"),
        ("primary: fvd", "family: [kept, kept]\nprimary: fvd", "11:16", "arm 'kept' stands twice"),
        ("dynamic_degree]", "psnr]", "12:16", "metric 'psnr' compares clips with their true ones"),
        ("dynamic_degree]", "fvd]", "12:16", "metric 'fvd' stands twice"),
        ("recipe: text_to_video", "recipe: text_to_vidoe", "2:1", "did you mean 'text_to_video'?"),
        ("subset.keep:", "subset.kep:", "8:5", "unknown setting 'subset.kep'; did you mean 'subset.keep'?"),
        ("motion:", "moton:", "8:19", "unknown key 'moton'; did you mean 'motion'?"),
        ("drop_lowest:", "drop_lowst:", "8:28", "unknown key 'drop_lowst'; did you mean 'drop_lowest'?"),
        ("drop_lowest: 0.25", "drop_lowest: 1.25", "8:28", "should be less than 1; found a number 1.25"),
        ("drop_lowest: 0.25", "drop_lowest: -0.1", "8:28", "greater than or equal to 0"),
        ("drop_lowest: 0.25", "drop_lowest: much", "8:28", "valid number; found text 'much'"),
        ("match: kept", "match: kpt", "10:21", "unknown arm 'kpt'; did you mean 'kept'?"),
        ("match: kept", "match: control", "10:21", "unknown arm 'control'"),
        ("plain: {}", "plain: {pretrain_videos.seed: 3}", "6:11", "set by the spec's `seeds`"),
        ("plain: {}", "plain: 3", "6:3", "found a whole number 3"),
        ("plain: {}", "'../x': {}", "6:3", "pattern"),
        ("  plain: {}\n", "  plain: {}\n  plain: {}\n", "7:3", "this key stands twice: 'plain'"),
        ("  plain: {}\n", "  plain: {]\n", "6:11", "not valid YAML"),
    ],
)
def test_refusals_name_place_and_nearest_word(write, old, new, place, words):
    assert old in GOOD
    with pytest.raises(DocumentError) as caught:
        load(write(GOOD.replace(old, new, 1)))
    message = str(caught.value)
    assert message.split("mine.yaml:")[1].startswith(place + ":"), message
    assert words in message


def test_an_arm_cannot_match_another_random_sample(write):
    text = GOOD.replace("plain: {}", "plain: {subset.sample: {match: control}}")
    with pytest.raises(DocumentError, match="itself a random sample"):
        load(write(text))


def test_unknown_names_list_the_nearest():
    with pytest.raises(AblateError, match=re.escape("no spec named 'data_curaton'; did you mean 'data_curation'?")):
        load("data_curaton")
    with pytest.raises(AblateError, match="did you mean 'laptop'"):
        load("data_curation", "labtop")


@pytest.mark.parametrize(
    "content", [b"", b"- a\n- b\n", b"just text", b"\xff\xfe\x00", b"a: &x [*x]\n", b"? {a: 1}\n: 2\n"]
)
def test_files_that_are_no_mapping_are_refused(tmp_path, content):
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises(DocumentError):
        load(str(path))


def test_a_missing_file_is_said_so(tmp_path):
    with pytest.raises(DocumentError, match="cannot be read"):
        load(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("pretrain_videos.samples: {times: 0.211}", 212), ("pretrain_videos.samples: {times: 0}", 4)],
)
def test_a_multiple_of_samples_is_a_number_of_whole_batches(write, setting, value):
    spec = load(write(GOOD.replace("plain: {}", f"plain: {{{setting}}}")))
    assert spec.arms["plain"].pretrain_videos.samples == value
    assert spec.arms["kept"].pretrain_videos.samples == 1000


def test_a_multiple_is_of_what_recipe_and_scale_say(write):
    text = GOOD.replace("plain: {}", "plain: {pretrain_videos.samples: {times: 2}, pretrain_videos.lr: {times: 0.5}}")
    spec = load(write(text), "smoke")
    assert spec.arms["plain"].pretrain_videos.samples == 2 * spec.arms["kept"].pretrain_videos.samples
    assert spec.arms["plain"].pretrain_videos.lr == spec.arms["kept"].pretrain_videos.lr / 2


@pytest.mark.parametrize("value", ["curate.text_over_frames: {times: 2}", "pretrain_videos.lr: {times: -1}"])
def test_only_numbers_can_be_multiplied(write, value):
    with pytest.raises(DocumentError, match="times multiplies a number by a number, 0 or more"):
        load(write(GOOD.replace("plain: {}", f"plain: {{{value}}}")))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("finetune_subset: {}", "finetune_subset needs finetune"),
        ("pretraining_side: 0.5", "pretraining_side needs finetune"),
        ("finetune: {}, pretraining_side: 0.4", r"pretraining_side 0.4: clips of 32 px reduce to \[0.25, 0.5\]"),
        ("encode.resolution: 16", "say pretraining_side"),
        ("finetune.samples: {times: 2}", "finetune.samples is None"),
        ("finetune.seed: 3", "set by the spec's `seeds`"),
    ],
)
def test_what_needs_another_training_is_refused_without_it(write, setting, words):
    with pytest.raises(DocumentError, match=words):
        load(write(GOOD.replace("plain: {}", f"plain: {{{setting}}}")))


def test_a_scale_sizes_optional_stages_and_brings_none_in(write):
    assert load(write(GOOD), "smoke").arms["plain"].finetune is None
    sized = load(write(GOOD.replace("recipe: text_to_video", "recipe: text_to_video_hq")), "smoke").arms["plain"]
    assert sized.finetune.samples < load("hq_finetuning").arms["curated_late"].finetune.samples
