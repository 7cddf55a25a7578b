from ablations.plan import Graph
from ablations.report.machines import unlike_machines

XEON = {"cpu": "Xeon"}
CARD = {"cpu": "Xeon", "gpu": "H200"}


def graph(seeds=(0, 1)):
    """Two arms that share their encoded clips."""
    runs = {(arm, seed): {"encode": "encode-0", "score": f"score-{arm}{seed}"} for arm in ("a", "b") for seed in seeds}
    return Graph(runs=runs)


def manifests(machines, torch="2.11"):
    return {key: {"machine": machine, "packages": {"torch": torch}} for key, machine in machines.items()}


def test_one_machine_needs_no_word():
    made = manifests(dict.fromkeys(["encode-0", "score-a0", "score-a1", "score-b0", "score-b1"], XEON))
    assert unlike_machines(graph(), made) == ()


def test_what_all_arms_share_may_come_from_elsewhere_and_so_may_a_seed():
    made = manifests({"encode-0": CARD, "score-a0": XEON, "score-b0": XEON, "score-a1": CARD, "score-b1": CARD})
    assert unlike_machines(graph(), made) == ()


def test_paired_arms_of_two_machines_are_named():
    made = manifests({"encode-0": XEON, "score-a0": XEON, "score-b0": CARD, "score-a1": XEON, "score-b1": XEON})
    (note,) = unlike_machines(graph(), made)
    assert "score (score: a on Xeon with PyTorch 2.11, b on H200 with PyTorch 2.11)" in note


def test_so_is_another_pytorch():
    made = manifests({"score-a0": XEON}) | manifests({"score-b0": XEON}, torch="2.15")
    (note,) = unlike_machines(graph(seeds=(0,)), made)
    assert "b on Xeon with PyTorch 2.15" in note


def test_so_is_another_way_of_computing():
    made = manifests({"score-a0": XEON, "score-b0": XEON})
    plain = {"processes": 1, "micro_batch": None, "checkpointing": False, "compiled": False, "strategy": "ddp"}
    made["score-a0"]["compute"], made["score-b0"]["compute"] = plain, {**plain, "processes": 4, "micro_batch": 2}
    (note,) = unlike_machines(graph(seeds=(0,)), made)
    assert "a on Xeon with PyTorch 2.11, b on Xeon with PyTorch 2.11, processes 4, micro batch 2)" in note


def test_runs_that_are_not_made_yet_are_passed_over():
    assert unlike_machines(graph(), manifests({"score-a0": XEON, "score-b1": CARD})) == ()
