import json

import pytest

from ablations.artifacts import Store, write_json
from ablations.compare import compare
from ablations.errors import AblateError
from ablations.plan import plan
from ablations.spec import load


def score(value, **more):
    facts = {"value": value, "name": "FVD[i3d-k400]", "direction": "lower", "encoder": "i3d", "weights": "ab", "n": 64}
    return {**facts, "n_reference": 256, "frames": 10, "resolution": 32, **more}


def write(store, key, scores):
    store.artifact(key).mkdir(parents=True)
    (store.artifact(key) / "scores.json").write_text(json.dumps(scores))
    write_json(store.artifact(key) / "manifest.json", {})


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Scores of two ablations that share the baseline; one run is missing, one is measured on fewer clips."""
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    store = Store()
    graph = plan(load("data_curation", "smoke"))
    for (arm, seed), roles in graph.runs.items():
        if (arm, seed) != ("same_size_random", 2):
            write(
                store, roles["score"], {"fvd": score(900.0 + 10 * seed - 100 * (arm == "filtered") - seed * len(arm))}
            )
    other = plan(load("filter_motion", "smoke"))
    for number, ((arm, seed), roles) in enumerate(other.runs.items()):
        if not store.has(roles["score"]):
            n = 32 if arm == load("filter_motion", "smoke").baseline else 64
            write(store, roles["score"], {"fvd": score(700.0 + seed + number, n=n)})
    return store


def rows(panel):
    return {row[0].text: [cell.text for cell in row[1:]] for row in panel.rows}


def test_runs_of_one_ablation(store):
    table = compare(["data_curation:unfiltered", "data_curation:filtered", "data_curation:same_size_random"], "smoke")
    scores, differences, settings = table.panels
    assert scores.header == ("Run", "FVD[i3d-k400] ↓")
    assert rows(scores)["data_curation:same_size_random"] == ["897.0 ± 4.2 (2 seeds)"]
    assert rows(differences)["data_curation:filtered"][0].startswith("−98.0 [")
    assert "Missing: data_curation:same_size_random, seeds 2 (not scored)." in table.notes
    assert "subset.keep" in rows(settings)
    assert "None" not in "".join(rows(settings)["subset.keep"])
    assert "'motion': {'drop_lowest': 0.25}" in rows(settings)["subset.keep"][1]
    assert not [name for name in rows(settings) if name.endswith(".seed")]


def test_runs_across_ablations_and_one_seed(store):
    other = load("filter_motion", "smoke")
    arm = next(arm for arm in other.arms if arm != other.baseline)
    table = compare(["data_curation:filtered", f"filter_motion:{arm}", "data_curation:filtered:1"], "smoke")
    assert [row[0].text for row in table.panels[0].rows] == [
        "data_curation:filtered", f"filter_motion:{arm}", "data_curation:filtered:1"
    ]  # fmt: skip
    assert rows(table.panels[1])["data_curation:filtered:1"] == ["0.0"]


def test_other_measurements_never_share_a_column(store, monkeypatch):
    graph = plan(load("data_curation", "smoke"))
    path = store.artifact(graph.runs["filtered", 0]["score"]) / "scores.json"
    path.write_text(json.dumps({"fvd": score(1.0, n=8)}))
    table = compare(["data_curation:unfiltered:0", "data_curation:filtered:0"], "smoke")
    assert len(table.panels[0].header) == 3
    assert "n = 8" in table.panels[0].header[2]
    assert rows(table.panels[0])["data_curation:filtered:0"][0] == "–"
    assert rows(table.panels[1])["data_curation:filtered:0"] == ["–", "–"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["data_curation:filtered"], "at least two runs"),
        (["data_curation", "data_curation:filtered"], "'data_curation' is no run: expected SPEC:ARM"),
        (["data_curation:filterd", "data_curation:filtered"], "no arm 'filterd'; did you mean 'filtered'"),
        (["data_curation:filtered:9", "data_curation:filtered"], "no seed '9'; it has 0, 1, 2"),
    ],
)
def test_what_is_no_run(store, names, message):
    with pytest.raises(AblateError, match=message):
        compare(names, "smoke")
