"""A world in which stages cost nothing: artifacts of a study's graph, with scores that a formula plants."""

from ablations.artifacts import write_json
from ablations.launch import Outcome

TRAINED = """\
question: Which two shares?
recipe: text_to_video
parameters:
  subset.keep.motion.drop_lowest: {low: 0.0, high: 0.75, step: 0.125}
  subset.keep.alignment.drop_lowest: {low: 0.0, high: 0.75, step: 0.125}
objectives: [fvd]
incumbent: {subset.keep.motion.drop_lowest: 0.0, subset.keep.alignment.drop_lowest: 0.0}
seeds: [0, 1]
trials: 12
parallel: 3
"""
SUBSETS = TRAINED.replace("[fvd]", "[kept_f1]").replace("[0, 1]", "[0]")
MOTION, ALIGNMENT = "subset.keep.motion.drop_lowest", "subset.keep.alignment.drop_lowest"


class World:
    """Makes artifacts in a store: `score(shares, samples, seed)` and `keep(shares)` say what they hold."""

    def __init__(self, store):
        self.store, self.made, self.calls, self.failing = store, [], 0, {}
        self.kind = "exception"  # of the failures in `failing`, as the stages' own accounts would say

    def score(self, shares, samples, seed):
        return (shares["motion"] - 0.25) ** 2 + (shares["alignment"] - 0.5) ** 2 + 1 / samples + 0.001 * seed

    def keep(self, shares):
        return (1 - shares["motion"]) * (1 - shares["alignment"])

    def __call__(self, graph):
        self.calls += 1
        outcome = Outcome()
        for key, node in graph.nodes.items():
            if self.store.has(key):
                continue
            if any(parent in outcome.failed or parent in outcome.blocked for parent in node.parents.values()):
                outcome.blocked.append(key)
            elif (reason := self.failing.get(str(self.shares(graph, node)))) and node.stage == "sample":
                write_json(self.store.folder("status") / f"{key}.json", {"state": "failed", "kind": self.kind})
                outcome.failed[key] = (reason, "the.log")
            else:
                self.finish(key, self.scores(graph, node))
                outcome.made.append(key)
        return outcome

    def finish(self, key, scores):
        write_json(self.store.work(key) / "scores.json", scores)
        self.store.finish(key, {})
        self.made.append(key)

    def shares(self, graph, node):
        way = graph.closure([node.key])
        keep = next((graph.nodes[k].settings["keep"] for k in way if graph.nodes[k].stage == "subset"), None)
        return keep and {axis: keep[axis]["drop_lowest"] for axis in ("motion", "alignment")}

    def scores(self, graph, node):
        shares = self.shares(graph, node)
        if node.stage == "score_subset":
            share = self.keep(shares)
            found = 1 - self.score(shares, 1e9, 0)
            return {
                name: {"value": value, "error": None} for name, value in (("kept_share", share), ("kept_f1", found))
            }
        if node.stage == "score":
            training = graph.nodes[graph.nodes[node.parents["sample"]].parents["pretrain_videos"]].settings
            value = self.score(shares, training["samples"], training["seed"])
            return {"fvd": {"value": value, "error": None if value is not None else "diverged"}}
        return {}
