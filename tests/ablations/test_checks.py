"""What must hold of a spec so that its arms can be compared, and its results go where only they belong."""

import json
import sys

import pytest
from typer.testing import CliRunner

from ablations import cli
from ablations.artifacts import Store, write_json
from ablations.cli import app
from ablations.errors import AblateError, DocumentError, PlanError, RunError
from ablations.plan import plan
from ablations.run import note_asked, results_folder, show_status, table_text, write_results
from ablations.search.command import run_search
from ablations.spec import HOME, load
from ablations.status import standing

SPEC = """\
question: What matters?
recipe: text_to_video
seeds: [0]
baseline: a
arms:
  a: {}
  b: {pretrain_videos.lr: 2.0e-3}
primary: fvd
metrics: [fvd]
"""
TASK = SPEC.replace("text_to_video", "image_to_video").replace("pretrain_videos.lr: 2.0e-3", "phases.videos.lr: 2.0e-3")


@pytest.fixture
def write(tmp_path):
    def write_spec(text, name="mine.yaml"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write_spec


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("reference.seed: 7", "7:3: its reference differs from that of 'a'"),
        ("sample.clips: 8", r"7:3: its sample\.clips differs from that of 'a'"),
        ("score_encoder.steps: 9", "7:3: its score_encoder differs"),
        ("pretrain_videos.lr: {times: 1.0}", "7:3: the same settings as 'a': there is nothing to compare"),
        ("sample: {seed: 7}", r"7:7: sample\.seed is set by the spec's `seeds`"),
        ("'*.seed': 3", r"7:7: .*\.seed is set by the spec's `seeds`"),
        ("score.metrics: [fvd]", r"7:7: score\.metrics is set by the spec's `metrics`"),
        ("subset.keep.motion.drop_lowest: 0.5, subset: {}", "this replaces 'subset.keep.motion.drop_lowest' above it"),
        ("pretrain_videos.lr: 2.0e-3, '*.lr': 1.0e-4", "this replaces 'pretrain_videos.lr' above it"),
        ("pretrain_videos.lr: {times: .nan}", "times multiplies a number by a number, 0 or more"),
        ("pretrain_videos.samples: {times: .inf}", "times multiplies a number by a number, 0 or more"),
        ("pretrain_videos.lr: .inf", "7:7: pretrain_videos.lr: should be a finite number"),
        ("pretrain_videos.batch_size: 7", "7:7: .*7"),
        ("finetune_subset.keep: {}", "7:3: finetune_subset needs finetune"),
        ("sample.sigma_max: 0.01", "sigma_min 0.02 must be below sigma_max 0.01"),
        ("pretrain_videos.objective: v, pretrain_videos.p_mean: 3.0", "p_mean here; it needs objective: continuous"),
        ("sample.clips: 5000", "sample.clips is 5000, but reference.clips, whose captions are sampled, is"),
        ("curate.min_clip_s: 40", "min_clip_s 40 lies above max_clip_s 30: no clip fits"),
        ("autoencoder.channels: 60", "a patch of 4 × 4 pixels has 48 values, not 60"),
        ("pretrain_images.network.num_attention_heads: [2]", "has 2 levels, but num_attention_heads has 1 values"),
        ("pretrain_videos.lr: 2024-13-45", "not valid YAML: month must be in 1..12"),
    ],
)
def test_arms_that_cannot_be_compared_or_mean_nothing_are_refused(write, settings, words):
    with pytest.raises(DocumentError, match=rf"mine\.yaml:.*{words}"):
        load(write(SPEC.replace("pretrain_videos.lr: 2.0e-3", settings)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            "phases.image_to_video.lora_rank: 4",
            "nothing reads phases.image_to_video.lora_rank here; it needs trained: lora",
        ),
        (
            "phases.videos: {task: text_to_video, data: clips, resolution: [32, 32], frames: 10, steps: 2, "
            "batch_size: 2, lr: 1e-3, image_dropout: 0.5}",
            r"videos.image_dropout here; it needs a task that is given a frame",
        ),
        ("phases.image_to_video.text_dropout: 0.9", "text_dropout here; it needs a task that reads captions"),
        ("phases.videos.objective: v, phases.videos.p_mean: 3.0", "p_mean here; it needs objective: continuous"),
        ("order: [images, videos]", "its last phase's task differs from that of 'a'"),
        ("execution.precision: bfloat16", "execution and watch are of `ablate train`"),
        ("watch.grid_every: 5", "execution and watch are of `ablate train`"),
    ],
)
def test_arms_of_a_task_that_mean_nothing_to_its_stages_are_refused(write, settings, words):
    with pytest.raises(DocumentError, match=rf"mine\.yaml:.*{words}"):
        load(write(TASK.replace("phases.videos.lr: 2.0e-3", settings)))


def test_what_some_of_all_phases_read_may_be_said_of_all(write):
    arm = load(write(TASK.replace("phases.videos.lr: 2.0e-3", "'phases.*.strength_mean': -2.0"))).arms["b"]
    assert arm.phases["image_to_video"].strength_mean == -2.0


def test_arms_that_no_stage_tells_apart_are_refused(write):
    lone = TASK.replace("phases.videos.lr: 2.0e-3", "order: [images, image_to_video], phases.videos.lr: 1.0e-3")
    twins = lone.replace("  a: {}", "  a: {order: [images, image_to_video]}")
    assert twins != lone
    with pytest.raises(PlanError, match=r"mine\.yaml: arms 'a' and 'b' are one experiment: no stage reads"):
        plan(load(write(twins)))


def test_an_exact_setting_after_a_wildcard_replaces_it(write):
    text = SPEC.replace("pretrain_videos.lr: 2.0e-3", "'*.precision': bfloat16, sample.precision: float32")
    arm = load(write(text)).arms["b"]
    assert (arm.pretrain_videos.precision, arm.sample.precision, arm.finetune) == ("bfloat16", "float32", None)


@pytest.mark.parametrize(
    ("metric", "words"),
    [("toy_clip_score", "needs the small encoder"), ("clip_score", "with their prompts"), ("tsed", "needs cameras")],
)
def test_metrics_that_runs_of_a_task_cannot_have_are_refused(write, metric, words):
    with pytest.raises(DocumentError, match=rf"9:11: metric '{metric}' .*{words}"):
        load(write(TASK.replace("fvd", metric)))


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("core_seconds: {curate: -1}", "greater than or equal to 0; found a whole number -1"),
        ("core_seconds: {curate: .nan}", "finite number"),
        ("core_seconds: {curat: 1}", "unknown stage 'curat'; did you mean 'curate'?"),
        ("recipe_core_seconds: {mine: {curat: 1}}", "unknown stage 'curat'; did you mean 'curate'?"),
    ],
)
def test_scales_without_sense_are_refused(write, key, words):
    scale = write(f"about: mine\n{key}\n", "small.yaml")
    with pytest.raises(DocumentError, match=rf"small\.yaml:2:.*{words}"):
        load("data_curation", scale)


@pytest.mark.parametrize("name", ["...yaml", "-x.yaml", "a b.yaml"])
def test_a_file_is_named_as_a_folder_can_be(write, name):
    with pytest.raises(DocumentError, match=r"the file's name, .* names its results"):
        load(write(SPEC, name))


@pytest.mark.parametrize("name", ["data_curation", "kept_clips", "node", "performance"])
def test_results_of_others_are_not_replaced(write, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = load(write(SPEC, f"{name}.yaml"))
    with pytest.raises(PlanError, match=rf"results/{name} is where .* rename .*{name}\.yaml, or give --out"):
        results_folder(spec, None)
    assert results_folder(spec, tmp_path / "other") == tmp_path / "other"
    assert results_folder(load("data_curation"), None).name == "data_curation"


def test_an_own_scale_of_a_packaged_name_does_not_replace_its_results(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = write((HOME / "scales" / "laptop.yaml").read_text(), "laptop.yaml")
    spec = load("data_curation", own)
    with pytest.raises(PlanError, match=r"is where a scale has its results: rename .*laptop\.yaml, or give --out"):
        results_folder(spec, None)
    assert results_folder(spec, tmp_path / "other") == tmp_path / "other"


def test_results_that_could_not_be_written_are_refused_before_anything_runs(write, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(PlanError, match=r"cannot be written: .*file is no folder"):
            results_folder(load(write(SPEC)), out)


def test_a_report_is_not_replaced_by_one_of_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "summary.json").write_text('{"missing": 0, "arms": ["a"], "seeds": [0]}')
    with pytest.raises(RunError, match=r"no run of data_curation is scored in .*; the report in .* is left as it is"):
        write_results("data_curation", "smoke", tmp_path / "results")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["summary.json"]


def test_a_report_of_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    words = r"none of the 9 runs of data_curation is in .*store: first `ablate run data_curation --scale smoke`"
    with pytest.raises(RunError, match=words):
        write_results("data_curation", "smoke", tmp_path / "results")
    assert not (tmp_path / "results").exists()
    with pytest.raises(RunError, match=words):
        table_text("data_curation", "smoke", "markdown", (), ())


def test_a_failure_alone_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    key = plan(load("data_curation", "smoke")).runs["unfiltered", 0]["corpus"]
    status = {"state": "failed", "error": "disk full", "spent_s": 1.0}
    write_json(Store().folder("status") / f"{key}.json", status)
    assert "(corpus failed: disk full)" in table_text("data_curation", "smoke", "markdown", (), ()).replace("\\", "")


def test_a_scale_that_is_only_planned_is_not_searched(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    with pytest.raises(AblateError, match="nothing runs at scale paper"):
        run_search("kept_clips", "paper", "local", None, False, tmp_path / "out")
    assert not (tmp_path / "store").exists()


def test_brackets_in_a_question_are_words(write, tmp_path, monkeypatch):
    """They were taken for markup, which swallowed some and failed at others."""
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    path = write(SPEC.replace("What matters?", '"Is [i3d] better than [/data/x] or [/]?"'))
    done = CliRunner().invoke(app, ["plan", path])
    assert "Is [i3d] better than [/data/x] or [/]?" in done.output, done.output


def test_status_of_all_is_one_document_and_outlives_a_moved_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    mine = tmp_path / "mine.yaml"
    mine.write_text(SPEC)
    for name in ("data_curation", "filter_motion", str(mine)):
        note_asked(load(name, "smoke"), Store(), {"spec": name, "scale": "smoke"}, tmp_path)
    mine.unlink()
    for name, text in (("cut", '{"spec": '), ("other", "[]")):
        (tmp_path / "store" / "asked" / f"{name}-smoke.json").write_text(text)
    show_status(None, "smoke", as_json_text=True)
    said = capsys.readouterr()
    assert set(json.loads(said.out)) == {"data_curation at scale smoke", "filter_motion at scale smoke"}
    assert "mine at scale smoke: " in said.err


def test_a_damaged_manifest_is_said(tmp_path, monkeypatch):
    graph = plan(load("data_curation", "smoke"))
    folder = Store(tmp_path).folder("artifacts") / next(iter(graph.nodes))
    folder.mkdir()
    (folder / "manifest.json").write_text('{"stage": ')
    with pytest.raises(RunError, match=r"manifest.json is damaged .* `ablate run` makes the artifact again"):
        standing(graph, Store(tmp_path))


@pytest.mark.parametrize("words", [("report", "data_curation", "--format", "csv", "--out", "x"),
                                   ("curate", "x", "--out", "y", "--share", "1/4", "--cluster", "slurm")])  # fmt: skip
def test_options_that_exclude_each_other_are_refused(words):
    assert "say one of them" in str(CliRunner().invoke(app, words).exception)


@pytest.mark.parametrize(("place", "said"), [("file/x", "Not a directory"), ("/dev/full", "No space left on device")])
def test_what_the_system_refuses_is_said_without_a_traceback(tmp_path, monkeypatch, capsys, place, said):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sys, "argv", ["ablate", "list"])
    monkeypatch.setattr(cli, "app", lambda: (tmp_path / place).write_text("x"))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
