import pytest

from ablations import plan as planning
from ablations.artifacts import Store
from ablations.errors import PlanError
from ablations.plan import check_weights, fingerprint, plan, source_digest
from ablations.run import changed_settings, remember
from ablations.spec import load
from ablations.stages import STAGES

ARM = """
  fourth:
    subset.keep: {motion: {drop_lowest: 0.5}}
family:"""

GOLDEN = {
    "autoencoder": "autoencoder-021eca0719c4f39c1756",
    "corpus": "corpus-9f817b5d00ecb98c19cb",
    "curate": "curate-07392c732967d160e982",
    "encode": "encode-a86e76bf98beb10982ba",
    "encode_images": "encode_images-116ab58e0fc6f2019810",
    "filter_encoder": "text_image_encoder-9f312fae9ec1a3367dc0",
    "images": "images-f68ef53750a0c40ba6f3",
    "pretrain_images": "pretrain_images-7082eb1857085be865b0",
    "pretrain_videos": "pretrain_videos-087af3c66f8a2525ec46",
    "reference": "reference-9bdf80c5f5477047d94b",
    "sample": "sample-1dc5d9cc3904352d4eaf",
    "score": "score-b6e7a1f5142d46bed872",
    "subset": "subset-fd9a9997583ee6cc419e",
}
"""Artifacts of one run of `data_curation`, at laptop scale: hours of reference runs are kept under these names."""


@pytest.fixture(scope="module")
def spec():
    return load("data_curation")


@pytest.fixture
def edited(tmp_path, spec):
    def edit(old, new):
        path = tmp_path / "data_curation.yaml"
        assert old in spec.text
        path.write_text(spec.text.replace(old, new))
        return load(str(path))

    return edit


def stages_by_kind(graph):
    return {stage: [k for k, n in graph.nodes.items() if n.stage == stage] for stage in STAGES}


def test_arms_share_everything_before_the_subset(spec):
    kinds = {stage: len(keys) for stage, keys in stages_by_kind(plan(spec)).items()}
    assert kinds["corpus"] == kinds["curate"] == kinds["encode"] == kinds["pretrain_images"] == 1
    assert kinds["text_image_encoder"] == 2
    assert kinds["reference_features"] == 2
    assert kinds["subset"] == 5  # unfiltered, filtered, and a random one for each seed
    assert kinds["pretrain_videos"] == kinds["sample"] == kinds["score"] == 9


def test_the_filtering_and_the_scoring_encoder_differ(spec):
    graph = plan(spec)
    roles = next(iter(graph.runs.values()))
    curating = graph.nodes[graph.nodes[roles["curate"]].parents["filter_encoder"]].settings
    scoring = graph.nodes[graph.nodes[roles["score"]].parents["score_encoder"]].settings
    assert curating["split"] != scoring["split"]
    assert curating["seed"] != scoring["seed"]


def test_a_fourth_arm_adds_only_its_own_stages(spec, edited):
    before = plan(spec).nodes
    after = plan(edited("\nfamily:", ARM)).nodes
    assert set(before) < set(after)
    new = [after[key].stage for key in set(after) - set(before)]
    assert sorted(new) == sorted(["subset"] + ["pretrain_videos", "sample", "score"] * 3)


def test_the_artifacts_of_reference_runs_keep_their_names(spec):
    assert plan(spec).runs["filtered", 0] == GOLDEN


def test_names_and_words_are_no_part_of_a_fingerprint(spec, edited):
    assert set(plan(edited("question: Does", "question: Why does")).nodes) == set(plan(spec).nodes)
    assert set(plan(edited("same_size_random", "as_few")).nodes) == set(plan(spec).nodes)


def test_every_setting_changes_the_fingerprint_of_its_stage_and_what_follows(spec, edited):
    before = plan(spec)
    after = plan(edited("unfiltered: {}", "unfiltered: {pretrain_videos.lr: 0.0003}"))
    run = ("unfiltered", 0)
    changed = {role for role in before.runs[run] if before.runs[run][role] != after.runs[run][role]}
    assert changed == {"pretrain_videos", "sample", "score"}
    assert before.runs["filtered", 0] == after.runs["filtered", 0]


def test_version_and_weights_are_part_of_a_fingerprint(monkeypatch):
    before = fingerprint("reference_features", {"encoder": "i3d_k400"}, {})
    monkeypatch.setattr(planning, "weights_digest", lambda name: "other")
    assert fingerprint("reference_features", {"encoder": "i3d_k400"}, {}) != before


def test_unequal_clip_lengths_are_refused(edited):
    with pytest.raises(Exception, match=r"curate.frames is 10 but reference.frames is 12"):
        edited("unfiltered: {}", "unfiltered: {reference.frames: 12}")


def test_missing_weights_name_file_digest_and_command(spec, monkeypatch, tmp_path):
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path))
    with pytest.raises(PlanError) as caught:
        check_weights(plan(spec))
    for name in ("i3d_k400", "vgg16", "ppocr_det"):
        assert f"ablate weights fetch {name}" in str(caught.value)
    assert "sha256" in str(caught.value)


def test_weights_that_only_the_user_has_are_refused_not_replaced(edited, monkeypatch, tmp_path):
    monkeypatch.setenv("ABLATE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PlanError, match="clip"):
        check_weights(plan(edited("[fvd, fd_vgg16", "[clip_score, fvd, fd_vgg16")))


def test_a_changed_setting_is_told_as_a_diff(spec, edited, tmp_path):
    store = Store(tmp_path / "store")
    remember(spec, plan(spec), store)
    assert changed_settings(spec, plan(spec), store) == []
    new = edited("unfiltered: {}", "unfiltered: {pretrain_videos.lr: 0.0003}")
    assert changed_settings(new, plan(new), store) == [
        f"pretrain_videos.lr: {spec.arms['unfiltered'].pretrain_videos.lr!r} → 0.0003"
    ]


def test_the_source_digest_follows_imports():
    digests = {stage: source_digest(stage) for stage in STAGES}
    assert len(set(digests.values())) == len(STAGES)
    found = planning.reachable(["bench.score"])
    assert "svd_core.encoders.i3d" in found
    assert not any(name.startswith("ablations") for name in found)


def test_late_arms_continue_what_early_ones_were_scored_after():
    graph = plan(load("hq_finetuning"))
    for start in ("image_only", "uncurated", "curated"):
        early, late = (graph.runs[f"{start}_{when}", 0] for when in ("early", "late"))
        assert graph.nodes[late["finetune"]].parents["previous"] == early["finetune"]
        assert graph.nodes[late["sample"]].parents["pretrain_videos"] == late["finetune"]
        assert early["pretrain_videos"] == late["pretrain_videos"]
    assert len({graph.nodes[roles["finetune"]].parents["subset"] for roles in graph.runs.values()}) == 1
    assert graph.runs["curated_late", 0]["finetune"] != graph.runs["curated_late", 1]["finetune"]
    assert set(plan(load("hq_finetuning_early")).nodes) < set(graph.nodes)


def test_only_the_first_of_two_phases_sees_smaller_clips():
    graph = plan(load("progressive_resolution"))
    roles = graph.runs["progressive", 0]
    first, second = (
        graph.nodes[graph.nodes[roles[stage]].parents["encode"]] for stage in ("pretrain_videos", "finetune")
    )
    assert first.settings["resolution"] == 16
    assert "resolution" not in second.settings
    assert second.key == graph.runs["full", 0]["encode"]
