"""The laws of arrays: every missing stage once, after everything it is made from, in few calls."""

from hypothesis import given
from hypothesis import strategies as st

from ablations.plan import Graph
from ablations.slurm.arrays import Task, arrange, dependency
from ablations.stage import Node


def graph_of(*edges):
    """A graph from (stage, name, parents' names); keys are the names."""
    graph, nodes = Graph(), {}
    for stage, name, *parents in edges:
        node = Node(stage, {}, {parent: nodes[parent].key for parent in parents}, name)
        nodes[name] = graph.nodes[node.key] = node
    return graph, {name: node.key for name, node in nodes.items()}


def runs(count, seeds=1):
    """corpus → subset (one an arm) → train → sample → score for each run."""
    edges = [("corpus", "c")]
    for arm in range(count):
        edges.append(("subset", f"u{arm}", "c"))
        for seed in range(seeds):
            run = f"{arm}x{seed}"
            edges += [
                ("train", f"t{run}", "c", f"u{arm}"),
                ("sample", f"a{run}", f"t{run}"),
                ("score", f"s{run}", f"a{run}"),
            ]
    return graph_of(*edges)


def test_one_array_for_each_set_of_like_stages():
    graph, _ = runs(1000)
    arrays = arrange(graph, graph.nodes, {}, ["subset"], 1001)
    assert [(array.stage, len(array.tasks)) for array in arrays] == [
        ("corpus", 1),
        ("train", 1000),
        ("sample", 1000),
        ("score", 1000),
    ]
    corpus, train, sample, score = arrays
    assert train.shared == (Task(corpus.name, 0),)
    assert sample.matching == (train.name,)
    assert score.matching == (sample.name,)
    assert all(len(chain) == 2 for chain in train.tasks.values())


def test_arrays_are_split_at_the_clusters_limit():
    graph, _ = runs(25)
    arrays = arrange(graph, graph.nodes, {}, ["subset"], 10)
    assert [len(array.tasks) for array in arrays if array.stage == "train"] == [10, 10, 5]
    trains = {array.name for array in arrays if array.stage == "train"}
    assert {array.matching[0] for array in arrays if array.stage == "sample"} == trains


def test_fan_in_names_tasks_and_whole_arrays_by_their_id():
    graph, keys = graph_of(
        *[("score", f"s{n}") for n in range(4)],
        ("votes", "all", *[f"s{n}" for n in range(4)]),
        ("pair", "two", "s1", "s3"),
    )
    arrays = {array.stage: array for array in arrange(graph, graph.nodes, {}, [], 100)}
    ids, sizes = {arrays["score"].name: "7"}, {arrays["score"].name: 4}
    assert dependency(arrays["votes"], ids, sizes) == "afterok:7"
    assert dependency(arrays["pair"], ids, sizes) == "afterok:7_1:7_3"
    assert dependency(arrays["score"], ids, sizes) is None
    assert keys["all"] in arrays["votes"].tasks[0]


def test_what_is_on_its_way_is_waited_for_by_its_own_index():
    graph, keys = runs(3)
    flying = {keys[f"t{n}x0"]: Task("old", index) for n, index in ((0, 5), (1, 2), (2, 9))}
    missing = [keys[f"a{n}x0"] for n in range(3)]
    (array,) = arrange(graph, missing, flying, [], 100)
    assert array.matching == ("old",)
    assert array.tasks == {5: (keys["a0x0"],), 2: (keys["a1x0"],), 9: (keys["a2x0"],)}


def test_some_done_some_flying_some_missing_never_share_an_array():
    graph, keys = runs(3)
    missing = [keys["t2x0"], *(keys[f"a{n}x0"] for n in range(3))]  # t0 is done, t1 on its way
    arrays = arrange(graph, missing, {keys["t1x0"]: Task("old", 1)}, ["subset"], 100)
    ways = {tuple(chain[-1] for chain in array.tasks.values()): (array.matching, array.shared) for array in arrays}
    assert ways[(keys["a0x0"],)] == ((), ())
    assert ways[(keys["a1x0"],)] == ((), (Task("old", 1),))
    assert ways[(keys["a2x0"],)][1][0].index == 0


graphs = st.lists(st.tuples(st.sampled_from("abcd"), st.lists(st.integers(0, 30), max_size=3)), min_size=1, max_size=25)


@given(graphs, st.sets(st.sampled_from("abcd"), max_size=2), st.integers(2, 6), st.data())
def test_laws(drawn, inline, largest, data):
    edges = [
        (stage, f"n{i}", *dict.fromkeys(f"n{p % i}" for p in parents if i)) for i, (stage, parents) in enumerate(drawn)
    ]
    graph, keys = graph_of(*edges)
    missing = data.draw(st.sets(st.sampled_from(sorted(keys.values()))))
    arrays = arrange(graph, [key for key in graph.nodes if key in missing], {}, sorted(inline), largest)

    targets = [chain[-1] for array in arrays for chain in array.tasks.values()]
    made = {key for array in arrays for chain in array.tasks.values() for key in chain}
    assert made == missing
    assert len(targets) == len(set(targets))
    assert all(graph.nodes[key].stage in inline for key in missing - set(targets))
    assert all(index < largest for array in arrays for index in array.tasks)
    assert all(graph.nodes[chain[-1]].stage == array.stage for array in arrays for chain in array.tasks.values())

    done_before: dict[str, set[str]] = {}
    sent: dict[str, dict[int, tuple[str, ...]]] = {}
    for array in arrays:
        for index, chain in array.tasks.items():
            waits = [Task(name, index) for name in array.matching] + list(array.shared)
            certain = set().union(*(done_before[sent[task.array][task.index][-1]] for task in waits))
            for link in chain:
                assert set(graph.nodes[link].parents.values()) & missing <= certain
                certain.add(link)
            done_before[chain[-1]] = certain
        sent[array.name] = array.tasks
