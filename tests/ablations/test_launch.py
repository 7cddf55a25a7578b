"""The scheduler's decisions, with tiny stages and an executor that runs a job when asked whether it is done."""

import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from ablations import job, launch, stages
from ablations.artifacts import Store, write_json
from ablations.cluster import LocalCluster
from ablations.errors import RunError
from ablations.launch import LocalLaunch, Outcome
from ablations.plan import Graph
from ablations.stage import Stage
from ablations.status import LiveView, standing
from svd_core.device import CHOSEN
from svd_core.settings import Settings


class Empty(Settings):
    text: str = ""


class FakeJob:
    """Runs its payload at the first question whether it is done."""

    def __init__(self, payload, arguments, order):
        self.payload, self.arguments, self.order = payload, arguments, order
        self.paths = SimpleNamespace(stdout=Path("the.log"))

    def done(self):
        if self.payload:
            self.order.append([key.rpartition("-")[0] for key in self.arguments[1]])
            payload, self.payload = self.payload, None
            root, keys, _, gpu = self.arguments
            try:
                payload(root, keys, polite=False, gpu=gpu)
            except Exception:
                return True
        return True

    def cancel(self, check):
        self.payload = None


@pytest.fixture
def order(monkeypatch):
    started = []

    class FakeExecutor:
        def __init__(self, folder):
            pass

        def update_parameters(self, **parameters):
            pass

        def submit(self, payload, *arguments):
            return FakeJob(payload, arguments, started)

    for name in ("CUDA_VISIBLE_DEVICES", CHOSEN):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr("submitit.LocalExecutor", FakeExecutor)
    monkeypatch.setattr(launch, "POLL_S", 0.0)
    return started


@pytest.fixture
def calls(monkeypatch):
    """Stages a (wide), b, c, d that write what they read; `fail` makes a stage raise."""
    made = []

    def work(settings: Empty, inputs, out, progress):
        if settings.text == "fail":
            (out / "half").write_text("kept")
            raise OSError(28, "No space left on device")
        made.append(settings.text)
        progress(1, 1, loss=0.5)
        (out / "text").write_text(settings.text + "".join((path / "text").read_text() for path in inputs.values()))

    for name in "abcd":
        monkeypatch.setitem(stages.STAGES, name, Stage(name, work))
    monkeypatch.setattr(job, "source_digest", lambda stage: "source")
    return made


def graph_of(*edges):
    """A graph from (stage, text, parents' texts)."""
    graph, nodes = Graph(), {}
    for stage, text, *parents in edges:
        nodes[text] = graph.add(stage, Empty(text=text), **{parent: nodes[parent] for parent in parents})
    graph.runs["arm", 0] = {"score": nodes[edges[-1][1]].key}
    return graph, {text: node.key for text, node in nodes.items()}


def run(graph, store, seconds=None, cores=2):
    outcome = Outcome()
    launch.sweep(graph, store, outcome)
    cluster = LocalCluster(about="test", cores=cores, all_cores=("a",))
    LocalLaunch(graph, store, cluster, seconds or {}, outcome).run(lambda: None)
    return outcome


DIAMOND = (("a", "root"), ("b", "left", "root"), ("c", "right", "root"), ("d", "end", "left", "right"))


def test_every_stage_is_made_once_and_the_longest_path_first(tmp_path, order, calls):
    store = Store(tmp_path)
    graph, keys = graph_of(*DIAMOND)
    outcome = run(graph, store, {"a": 1, "b": 1, "c": 9, "d": 1})
    assert sorted(calls) == ["end", "left", "right", "root"]
    assert outcome.made == [keys[name] for name in ("root", "right", "left", "end")]
    assert order[:3] == [["a"], ["c"], ["b"]]
    assert (store.artifact(keys["end"]) / "text").read_text() == "endleftrootrightroot"


def test_a_second_run_makes_nothing(tmp_path, order, calls):
    graph, keys = graph_of(*DIAMOND)
    run(graph, Store(tmp_path))
    calls.clear()
    outcome = run(graph, Store(tmp_path))
    assert calls == []
    assert sorted(outcome.reused) == sorted(keys.values())
    assert not (outcome.made or outcome.failed or outcome.blocked)


def test_a_chain_of_narrow_stages_is_one_job(tmp_path, order, calls):
    graph, _ = graph_of(("a", "1"), ("b", "2", "1"), ("c", "3", "2"), ("d", "4", "3"))
    run(graph, Store(tmp_path))
    assert order == [["a"], ["b", "c", "d"]]


FAN = (("a", "root"), *(("b", f"leaf {number}", "root") for number in range(6)))


def test_jobs_spread_over_gpus_and_share_each_with_a_few(tmp_path, order, calls, monkeypatch):
    """submitit hides GPUs from its jobs; ours get one each, so many at once as the cluster file says."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,GPU-a")
    seen, at_once = [], []
    monkeypatch.setattr(launch, "run_stages", lambda *a, **k: (seen.append(k["gpu"]), job.run_stages(*a, **k)))
    graph, _ = graph_of(*FAN)
    store, outcome = Store(tmp_path), Outcome()
    cluster = LocalCluster(about="test", cores=16, per_gpu=2, all_cores=("a",))
    local = LocalLaunch(graph, store, cluster, {"b": 9.0}, outcome)
    local.run(lambda: at_once.append(len(local.running)))
    assert len(outcome.made) == 7
    assert sorted(seen[1:]) == ["1", "1", "1", "GPU-a", "GPU-a", "GPU-a"]
    assert max(at_once) == 4
    assert os.environ["CUDA_VISIBLE_DEVICES"] == os.environ[CHOSEN] == seen[-1]


def test_short_stages_share_a_job_and_one_that_fails_takes_no_other_along(tmp_path, order, calls):
    fan = (("a", "root"), *(("b", text, "root") for text in ("one", "two", "fail", "four", "five", "six")))
    graph, keys = graph_of(*fan)
    outcome = run(graph, Store(tmp_path), {"a": 9.0, "b": 0.5})
    assert sorted(calls) == ["five", "four", "one", "root", "six", "two"]
    assert list(outcome.failed) == [keys["fail"]]
    assert order[1:3] == [["b", "b", "b"], ["b", "b", "b"]]
    order.clear()
    slow, _ = graph_of(*fan)
    run(slow, Store(tmp_path / "slow"), {"a": 9.0, "b": 3.0})
    assert order == [["a"], *[["b"]] * 6]


@pytest.mark.parametrize(
    ("listed", "gpus"),
    [(None, ["0", "1"]), ("", []), ("-1", []), ("1", ["1"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"])],
)
def test_gpus_are_those_listed_or_all(tmp_path, monkeypatch, listed, gpus):
    for name in ("nvidia3", "nvidia5", "nvidiactl", "null"):
        (tmp_path / name).touch()
    monkeypatch.setattr(launch, "DEVICES", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert launch.visible_gpus() == gpus


def test_a_failure_stops_only_what_depends_on_it(tmp_path, order, calls):
    store = Store(tmp_path)
    graph, keys = graph_of(("a", "root"), ("b", "fail", "root"), ("c", "after", "fail"), ("d", "aside", "root"))
    outcome = run(graph, store)
    assert outcome.failed == {keys["fail"]: ("OSError: [Errno 28] No space left on device", "the.log")}
    assert outcome.blocked == [keys["after"]]
    assert store.has(keys["aside"])
    assert (store.work(keys["fail"]) / "half").read_text() == "kept"
    states = {row.key: row.state for row in standing(graph, store)}
    assert [states[keys[name]] for name in ("root", "fail", "after", "aside")] == ["done", "failed", "waiting", "done"]


def test_a_failed_stage_is_tried_again(tmp_path, order, calls, monkeypatch):
    store = Store(tmp_path)
    graph, keys = graph_of(("a", "root"), ("b", "fail", "root"))
    run(graph, store)
    monkeypatch.setitem(stages.STAGES, "b", Stage("b", lambda settings, inputs, out, progress: None))
    stages.STAGES["b"].run.__annotations__["settings"] = Empty
    assert run(graph, store).made == [keys["fail"]]


def test_a_damaged_artifact_alone_is_made_again(tmp_path, order, calls):
    store = Store(tmp_path)
    graph, keys = graph_of(*DIAMOND)
    run(graph, store)
    calls.clear()
    (store.artifact(keys["left"]) / "text").write_text("something else")
    outcome = run(graph, store)
    assert "bytes instead of" in outcome.rebuilt[keys["left"]]
    assert calls == ["left"]


def test_in_process_runs_agree_with_jobs(tmp_path, order, calls):
    graph, keys = graph_of(*DIAMOND, ("b", "fail", "root"), ("c", "after", "fail"))
    outcome = Outcome()
    store = Store(tmp_path)
    launch.run_here(graph, store, outcome, lambda: None)
    assert list(outcome.failed) == [keys["fail"]]
    assert outcome.blocked == [keys["after"]]
    assert (store.artifact(keys["end"]) / "text").read_text() == "endleftrootrightroot"


def test_the_view_tells_each_event_once_where_there_is_no_terminal(tmp_path, calls):
    graph, _ = graph_of(*DIAMOND, ("b", "fail", "root"))
    store, output = Store(tmp_path), io.StringIO()
    with LiveView(graph, store, {}, 1, Console(file=output, width=200)) as view:
        launch.run_here(graph, store, Outcome(), view)
        view.finish()
    text = output.getvalue()
    assert text.count("✓") == 4
    assert text.count("✗") == 1
    assert "No space left on device" in text


def test_what_another_run_makes_of_a_failed_stage_is_gone_on_with(tmp_path, order, calls):
    store = Store(tmp_path)
    graph, keys = graph_of(("a", "root"), ("b", "next", "root"))
    launching = LocalLaunch(graph, store, LocalCluster(about="test", cores=1), {}, Outcome())
    launching.outcome.failed[keys["root"]] = ("of its own", "the.log")
    assert launching._ready(set()) == []
    job.write_node(store, graph.nodes[keys["root"]])
    job.make(store, keys["root"])
    launching._ready(set())
    assert launching._ready(set()) == [keys["next"]]


def test_what_another_run_discards_is_made_again(tmp_path, order, calls):
    store = Store(tmp_path)
    graph, keys = graph_of(("a", "root"), ("b", "next", "root"))
    run(graph_of(("a", "root"))[0], store)
    launching = LocalLaunch(graph, store, LocalCluster(about="test", cores=1), {}, outcome := Outcome())
    store.discard(keys["root"])
    launching.run(lambda: None)
    assert outcome.made == [keys["root"], keys["next"]]
    assert not outcome.failed


def test_a_stage_without_its_parent_says_so_itself(tmp_path, calls):
    store = Store(tmp_path)
    graph, keys = graph_of(("a", "root"), ("b", "next", "root"))
    job.write_node(store, graph.nodes[keys["next"]])
    with pytest.raises(RunError, match="needs a-"):
        job.make(store, keys["next"])
    assert "needs a-" in launch.reason(store, keys["next"])


def test_what_is_made_again_is_not_billed_twice(tmp_path, calls):
    store = Store(tmp_path)
    (key,) = (graph := graph_of(("a", "root"))[0]).nodes
    job.write_node(store, graph.nodes[key])
    status = store.folder("status") / f"{key}.json"
    for state, seconds in (("running", 3600.0), ("done", 0.0)):
        write_json(status, {"state": state, "spent_s": 3600.0})
        assert job.StatusFile(store, key).spent_s == pytest.approx(seconds, abs=5)
