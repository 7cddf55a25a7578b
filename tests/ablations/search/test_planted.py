"""The packaged study over a planted, noise-free objective: F1 of the kept clips against the truth of a clip table."""

from itertools import product

import numpy as np
import polars as pl
import pytest
from worlds import World

from ablations.artifacts import Store
from ablations.search.controller import Controller
from ablations.search.journal import open_journal
from ablations.search.study import load
from ablations.search.winner import winner
from svd_core.curation.filters import kept
from svd_core.curation.settings import Keep

LADDER = (0.0, 0.125, 0.25, 0.5)
DEFECTS = {"motion": 0.25, "text_area": 0.25, "aesthetics": 0.25, "alignment": 0.5}
"""Axis → share of clips with its defect, as in toy_lvd."""


def clip_table(clips=1200):
    """Scores that tell their defect from its absence about as well as those of real curation do."""
    rng = np.random.default_rng(0)
    good, table = np.ones(clips, dtype=bool), {"clip_id": [f"clip-{n}" for n in range(clips)]}
    for axis, share in DEFECTS.items():
        defect = rng.permutation(clips) < share * clips
        noise = rng.normal(size=clips) * (0.0 if axis == "motion" else 0.3)
        table[axis] = (1.0 if axis == "text_area" else -1.0) * defect + noise
        good &= ~defect
    return pl.DataFrame(table), good


class Planted(World):
    def __init__(self, store):
        super().__init__(store)
        self.clips, self.good = clip_table()

    def f1(self, keep):
        mask = kept(self.clips, Keep.model_validate(keep))
        return 2 * float((mask & self.good).sum()) / float(mask.sum() + self.good.sum())

    def scores(self, graph, node):
        if node.stage != "score_subset":
            return {}
        keep = graph.nodes[node.parents["subset"]].settings["keep"]
        return {"kept_f1": {"value": self.f1(keep), "error": None}}


@pytest.mark.parametrize("sampler_seed", [0, 1])
def test_forty_trials_come_within_five_per_cent_of_the_best_of_a_grid_of_256(tmp_path, monkeypatch, sampler_seed):
    monkeypatch.setattr("os.fsync", lambda file: None)
    study, store = load("kept_clips"), Store(tmp_path)
    object.__setattr__(study, "file", study.file.model_copy(update={"sampler_seed": sampler_seed}))
    world, journal = Planted(store), open_journal(study, store)
    Controller(study, journal, store, world, lambda line: None).run(40)
    grid = max(
        world.f1(
            {
                a: {"drop_highest" if a == "text_area" else "drop_lowest": s}
                for a, s in zip(DEFECTS, shares, strict=True)
            }
        )
        for shares in product(LADDER, repeat=4)
    )
    found = winner(study, journal).values[0]
    assert found >= 0.95 * grid
    assert journal.get_trials()[0].values[0] < 0.6 * grid  # the first trial tells nothing: no clip is dropped
