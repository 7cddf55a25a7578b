"""Filling a report's data from the store: what is there, and for what is not, why."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from ablations.artifacts import Store, read_mapping
from ablations.budget import Prices
from ablations.errors import RunError
from ablations.job import PACKAGES, code_revision, machine, versions
from ablations.plan import Graph
from ablations.recipe import Recipe
from ablations.report.arms import Tables, arm, present
from ablations.report.differences import differing, settings_of
from ablations.report.machines import unlike_machines
from ablations.report.result import AblationResult, Ballots, Cost, Provenance, Run, read_scores
from ablations.spec import Spec
from ablations.status import row
from ablations.task_recipe import TaskRecipe
from ablations.votes import on_present_samples, votes_table


def collect(spec: Spec, graph: Graph, store: Store) -> AblationResult:
    """Everything that the report of a spec draws, from the artifacts that are there."""
    manifests = {key: store.manifest(key) for key in graph.nodes if store.has(key)}
    tables, times = Tables(spec, graph, store), spent(manifests)
    asked = read_mapping(store.root / "asked" / f"{spec.name}-{spec.scale}.json")
    return AblationResult(
        name=spec.name,
        question=spec.question,
        paper=spec.paper or None,
        scale=spec.scale,
        primary=spec.primary,
        metrics=spec.metrics,
        baseline=spec.baseline,
        family=spec.family,
        arms=tuple(
            replace(arm(name, spec, graph, store, tables), seconds=run_seconds(name, spec, graph, times))
            for name in spec.arms
        ),
        seeds=spec.seeds,
        runs=tuple(run(name, seed, graph, store) for name, seed in spec.runs()),
        provenance=provenance(spec, graph, unlike_machines(graph, manifests)),
        curation=tables.curation,
        reference=present(store, shared(graph, "reference")),
        costs=costs(graph, times),
        ballots=ballots(spec, graph, store),
        planned_seconds=Prices(spec.core_seconds, spec.base).total(graph.nodes.values(), graph) or None,
        gpu_hours=sum(each.accelerator_seconds for each in times.values()) / 3600,
        planned_gpu_hours=asked.get("gpu_hours"),
    )


def shared(graph: Graph, role: str) -> str:
    """The artifact that plays a role in the first run: for roles that all arms share."""
    return next(iter(graph.runs.values()))[role]


TRAININGS = ("pretrain_videos", "train_phase")
"""What made the network that is sampled, by its role."""


def run(name: str, seed: int, graph: Graph, store: Store) -> Run:
    """One run's scores and files, or why it has none."""
    roles = graph.runs[name, seed]
    made_by = graph.nodes[roles["sample"]].parents
    trained = present(store, next(made_by[role] for role in TRAININGS if role in made_by))
    log = trained / "metrics.jsonl" if trained else None
    samples = present(store, roles["sample"])
    scored = present(store, roles["score"])
    if scored is None:
        return Run(name, seed, samples=samples, log=log, missing=why_missing(roles["score"], graph, store))
    scores = read_scores(scored / "scores.json")
    return Run(name, seed, scores, per_clip=scored / "per_clip.parquet", samples=samples, log=log)


def why_missing(key: str, graph: Graph, store: Store) -> str:
    """The first stage on the way to this one that is not done, and what became of it."""
    way = graph.closure([key])
    rows = (row(k, graph.nodes[k].stage, "", store) for k in graph.nodes if k in way)
    unmade = [entry for entry in rows if entry.state != "done"]
    first = next((entry for entry in unmade if entry.state != "waiting"), unmade[0])
    return f"{first.stage} {first.state}" + (f": {first.error}" if first.error else "")


def check_begun(result: AblationResult, store: Store, name: str, scale: str) -> None:
    """Raise RunError where no run was begun: there is nothing to report on, not even a failure."""
    if all(run.missing and run.missing.endswith(" waiting") and run.log is None for run in result.runs):
        command = f"ablate run {name}" + ("" if scale == "laptop" else f" --scale {scale}")
        raise RunError(f"none of the {len(result.runs)} runs of {result.name} is in {store.root}: first `{command}`")


def ballots(spec: Spec, graph: Graph, store: Store) -> Ballots | None:
    """People's votes on the present samples, if there are any."""
    votes = votes_table(spec, store)
    present = on_present_samples(votes, graph, store)
    return Ballots(present, stale=votes.height - present.height) if votes.height else None


@dataclass(frozen=True)
class Spent:
    """What making an artifact took: process time, and how much of it on an accelerator."""

    seconds: float
    accelerator_seconds: float


def spent(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, Spent]:
    """What every finished stage took, whenever that was, as the manifests tell it."""
    return {key: Spent(float(m["seconds"]), float(m.get("accelerator_seconds", 0.0))) for key, m in manifests.items()}


def costs(graph: Graph, times: Mapping[str, Spent]) -> tuple[Cost, ...]:
    """Seconds by kind of stage."""
    rows = []
    for stage in dict.fromkeys(node.stage for node in graph.nodes.values()):
        own = [times[key] for key, node in graph.nodes.items() if node.stage == stage and key in times]
        rows.append(Cost(stage, len(own), sum(s.seconds for s in own), sum(s.accelerator_seconds for s in own)))
    return tuple(rows)


def run_seconds(name: str, spec: Spec, graph: Graph, times: Mapping[str, Spent]) -> float | None:
    """Process time from the corpus to the score of one of the arm's runs, mean over the seeds that are scored."""
    ways = [graph.closure([graph.runs[name, seed]["score"]]) for seed in spec.seeds]
    whole = [sum(times[key].seconds for key in way) for way in ways if way <= times.keys()]
    return fmean(whole) if whole else None


def provenance(spec: Spec, graph: Graph, warnings: tuple[str, ...]) -> Provenance:
    """What it takes to do it again, and with what caution to read it."""
    revision = code_revision()
    scale = "" if spec.scale == "laptop" else f" --scale {spec.scale}"
    return Provenance(
        spec_path=spec.path.name,
        spec_text=spec.text,
        revision=revision.removesuffix("+changes"),
        dirty=revision.endswith("+changes"),
        packages=versions(PACKAGES),
        machine={name: str(value) for name, value in machine().items()},
        fingerprints=fingerprints(graph),
        commands=("python -m pip install nox", f"nox -s ablate -- {spec.name}{scale}"),
        notes=(*warnings, *notes(spec)),
        differences=differing({name: settings_of(graph, name, spec.seeds[0]) for name in spec.arms}),
    )


def fingerprints(graph: Graph) -> dict[str, str]:
    """Fingerprint of every stage, shared ones once."""
    named: dict[str, str] = {}
    for (arm_name, seed), roles in graph.runs.items():
        for role, key in roles.items():
            if key not in named.values():
                first = next(iter(graph.runs.values())).get(role)
                name = role if key == first else f"{role} · {arm_name} · seed {seed}"
                named[name] = key
    return {name: key.rpartition("-")[2] for name, key in named.items()}


def notes(spec: Spec) -> tuple[str, ...]:
    """What a reader must know to judge the numbers."""
    recipe = spec.arms[spec.baseline]
    limits = (spec.limits,) if spec.limits else ()
    equal = len({arm.lengths for arm in spec.arms.values()}) == 1
    own = notes_on_task(recipe) if isinstance(recipe, TaskRecipe) else notes_on_text(recipe, equal)
    return (*limits, *own)


def notes_on_task(recipe: TaskRecipe) -> tuple[str, ...]:
    """Of runs that are given a part of held-out clips."""
    named = ", ".join(recipe.seeded)
    return (
        f"The seed of a run reaches its phase ({named}) and sampling; clips, frozen networks and earlier phases have "
        "one fixed seed, shared by all arms and seeds: intervals do not speak of them.",
        "Runs are sampled from held-out clips that no arm trains on; paired metrics leave out the frames that were "
        "given. The same seed gives the same data order and noise in every arm.",
    )


def notes_on_text(recipe: Recipe, equally_long: bool) -> tuple[str, ...]:
    """Of runs that are sampled by captions; `equally_long`: all arms train for as many samples."""
    stage_i = recipe.pretrain_images
    repeats = "All arms train for equally many samples, so a smaller subset is repeated more often."
    return (
        f"Stage I (image pretraining, {stage_i.samples:,} samples of clean images, no frames of clips) has one fixed "
        f"seed, {stage_i.seed}, shared by all arms and seeds: intervals speak of video training and sampling, not of "
        "image pretraining.",
        *([repeats] if equally_long else []),
        "Prompts are the captions of held-out clips that no arm trains on; the same seed gives the same prompts, data "
        "order and noise in every arm.",
    )
