"""What a report is drawn from: plain frozen data, filled by the harness from the store.

Nothing here is computed twice or guessed: a figure that was not measured is null and carries its reason.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from ablations.statistics import Direction


@dataclass(frozen=True)
class Score:
    """One metric of one run, as an entry of `scores.json`. `error` says why `value` is null."""

    value: float | None
    name: str
    direction: Direction
    encoder: str | None = None
    weights: str | None = None
    n: int | None = None
    n_reference: int | None = None
    frames: int | None = None
    resolution: int | None = None
    error: str | None = None
    stderr: float | None = None


def read_scores(path: Path) -> dict[str, Score]:
    """Metric key to score out of a `scores.json`; keys that the report does not draw are left out."""
    known = {f.name for f in fields(Score)}
    entries: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return {key: Score(**{k: v for k, v in entry.items() if k in known}) for key, entry in entries.items()}


@dataclass(frozen=True)
class FunnelStep:
    """One predicate of an arm's subset, as in `funnel.json`. Counts are clips."""

    axis: str
    predicate: str
    threshold: float | None
    removed_alone: int
    removed_in_sequence: int
    remaining: int


@dataclass(frozen=True)
class Arm:
    """One variant. `overrides` is its diff to the recipe; `kept` its number of clips, null if that is not known.

    `precision` and `recall` are those of the kept clips against the planted truth, the mean over seeds where these are
    `drawn` anew for each; `samples` is what one run trains on, before it is `finetuned` on so many more (from
    `finetuned_on` clips, null if not clips of its own), `seconds` the process time of all its stages, shared ones
    included (mean over the seeds that are done). `idle`: why nothing is said of clips that it hardly trains on.
    """

    name: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    kept: int | None = None
    funnel: tuple[FunnelStep, ...] = ()
    precision: float | None = None
    recall: float | None = None
    samples: int | None = None
    finetuned: int = 0
    finetuned_on: int | None = None
    drawn: bool = False
    idle: str | None = None
    seconds: float | None = None

    @property
    def epochs(self) -> float | None:
        """How often training sees each kept clip: the repetition that quality is confounded with."""
        return self.samples / self.kept if self.samples and self.kept else None


@dataclass(frozen=True)
class Run:
    """One arm with one seed. `missing` says why it has no scores; paths are null where nothing was made.

    `per_clip` is `per_clip.parquet`, `samples` a folder with `videos.safetensors` and `prompts.json`, `log` the
    `metrics.jsonl` of the last video training.
    """

    arm: str
    seed: int
    scores: Mapping[str, Score] = field(default_factory=dict)
    per_clip: Path | None = None
    samples: Path | None = None
    log: Path | None = None
    missing: str | None = None

    def value(self, metric: str) -> float | None:
        """The score, null if the run or the measurement failed."""
        score = self.scores.get(metric)
        return None if score is None or self.missing else score.value

    def reason(self, metric: str) -> str | None:
        """Why `value` is null; null if it is not."""
        if self.value(metric) is not None:
            return None
        score = self.scores.get(metric)
        return self.missing or (score.error if score else None) or "not scored"


@dataclass(frozen=True)
class Curation:
    """How the corpus became clips. `table` is `clips.parquet`; `cut_f1` has one entry a kind of transition, `auc` one
    an axis (the score against its planted defect).
    """

    sources: int
    clips: int
    table: Path | None = None
    cut_f1: Mapping[str, float | None] = field(default_factory=dict)
    auc: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Ballots:
    """People's votes: a table as in `bench.preference.table`, of clips that these runs made, attention checks included.

    `stale` votes on earlier samples are not in it.
    """

    votes: pl.DataFrame
    stale: int = 0


@dataclass(frozen=True)
class Cost:
    """One kind of stage: how many there are, and the seconds that making them took, whenever that was; of these,
    `accelerator_seconds` on an accelerator.
    """

    stage: str
    runs: int
    seconds: float
    accelerator_seconds: float = 0.0


@dataclass(frozen=True)
class Provenance:
    """What it takes to do it again. `fingerprints` has one entry a stage of the graph; `commands` are shell lines.

    `differences` maps each resolved setting that is not the same in all arms to its value in every arm.
    """

    spec_path: str
    spec_text: str
    revision: str
    dirty: bool
    packages: Mapping[str, str]
    machine: Mapping[str, str]
    fingerprints: Mapping[str, str]
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()
    differences: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True)
class AblationResult:
    """A whole ablation. `metrics` are keys in the order of the spec, `arms` too; `runs` holds every arm and seed,
    missing ones included. `family` are the arms that the verdict covers (null: all but the baseline). `reference` is a
    folder with `clips.safetensors`, whose i-th clip has the i-th prompt.
    """

    name: str
    question: str
    scale: str
    primary: str
    metrics: tuple[str, ...]
    baseline: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]
    provenance: Provenance
    paper: str | None = None
    curation: Curation | None = None
    reference: Path | None = None
    costs: tuple[Cost, ...] = ()
    planned_seconds: float | None = None
    family: tuple[str, ...] | None = None
    gpu_hours: float = 0.0
    planned_gpu_hours: float | None = None
    ballots: Ballots | None = None

    def __post_init__(self) -> None:
        """Refuse what no honest table can show: metrics measured differently in one column, unknown or missing runs."""
        known = {arm.name for arm in self.arms}
        if self.baseline not in known:
            raise ValueError(f"baseline {self.baseline!r} is none of the arms {sorted(known)}")
        if self.primary not in self.metrics:
            raise ValueError(f"primary metric {self.primary!r} is none of the metrics {list(self.metrics)}")
        cells = [(run.arm, run.seed) for run in self.runs]
        wanted = [(arm.name, seed) for arm in self.arms for seed in self.seeds]
        if sorted(cells) != sorted(wanted):
            odd = sorted(set(cells) ^ set(wanted)) or [c for c in cells if cells.count(c) > 1]
            raise ValueError(f"expected one run for every arm and seed; missing, unknown or double: {odd}")
        _ = self._protocols

    @cached_property
    def _by_cell(self) -> dict[tuple[str, int], Run]:
        return {(run.arm, run.seed): run for run in self.runs}

    def run(self, arm: str, seed: int) -> Run:
        """The run of `arm` with `seed`."""
        return self._by_cell[arm, seed]

    def narrowed(self, arms: Collection[str], metrics: Collection[str]) -> "AblationResult":
        """Some arms and metrics only. The baseline and the primary metric stay: every verdict rests on them."""
        kept = tuple(arm for arm in self.arms if arm.name in {*arms, self.baseline})
        return replace(
            self,
            arms=kept,
            runs=tuple(run for run in self.runs if run.arm in {arm.name for arm in kept}),
            metrics=tuple(metric for metric in self.metrics if metric in {*metrics, self.primary}),
        )

    def scores(self, metric: str) -> dict[str, dict[int, float | None]]:
        """Arm to seed to value, in order, null where not measured."""
        return {arm.name: {seed: self.run(arm.name, seed).value(metric) for seed in self.seeds} for arm in self.arms}

    def protocol(self, metric: str) -> Score | None:
        """How `metric` was measured: any run's score, since all agree. Null if no run was scored."""
        return self._protocols[metric]

    @cached_property
    def _protocols(self) -> dict[str, Score | None]:
        return {metric: self._agreed(metric) for metric in self.metrics}

    def _agreed(self, metric: str) -> Score | None:
        """
        Any run's score, all of which agree in name, encoder, weights, n, frames and size.

        Raises ValueError if they do not: such values share no column.
        """
        scores = [run.scores[metric] for run in self.runs if metric in run.scores and not run.missing]
        for name in ("name", "direction", "encoder", "weights", "n", "n_reference", "frames", "resolution"):
            values = {getattr(score, name) for score in scores if score.value is not None}
            if len(values) > 1:
                raise ValueError(f"runs were scored differently: {metric} has {name} {sorted(map(str, values))}")
        return next((s for s in scores if s.value is not None), scores[0] if scores else None)
