from types import SimpleNamespace

import pytest
from worlds import World

from ablations.artifacts import Store
from ablations.search.controller import Controller
from ablations.search.journal import open_journal
from ablations.search.study import load


@pytest.fixture
def play(tmp_path, monkeypatch):
    """A function from a study's text to a game: study, world, and `run(trials)` of a fresh controller."""
    monkeypatch.setattr("os.fsync", lambda file: None)  # the journal's guard against power cuts takes most of the time

    def begin(text, scale="laptop", name="mine", folder=tmp_path):
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.yaml"
        path.write_text(text)
        study, store, said = load(str(path), scale), Store(folder / "store"), []
        world = World(store)

        def run(trials=None, fork=False):
            journal = open_journal(study, store, fork=fork)
            Controller(study, journal, store, world, said.append).run(trials or study.file.trials)
            return journal

        return SimpleNamespace(study=study, store=store, world=world, said=said, run=run, path=path)

    return begin
