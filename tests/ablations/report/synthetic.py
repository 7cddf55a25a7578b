"""A made-up ablation with everything a report draws: the figures of a measured prototype, and small moving squares."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import save_file

from ablations.report.result import AblationResult, Arm, Ballots, Cost, Curation, FunnelStep, Provenance, Run, Score

FVD = {
    "unfiltered": (961.4, 982.7, 894.2),
    "filtered": (802.5, 796.9, 777.1),
    "same_size_random": (968.1, 935.3, 928.7),
}
FD = {"unfiltered": (45.1, 47.2, 42.6), "filtered": (30.9, 31.1, 28.0), "same_size_random": (46.7, 49.8, 43.5)}
CLIP = {
    "unfiltered": (0.262, 0.255, 0.266),
    "filtered": (0.301, 0.311, 0.306),
    "same_size_random": (0.257, 0.26, 0.266),
}
DYNAMIC = {"unfiltered": (0.61, 0.58, 0.66), "filtered": (0.83, 0.81, 0.86), "same_size_random": (0.6, 0.66, 0.61)}
COMMON = {"n": 64, "frames": 10, "resolution": 32}
LONG = "filtered_by_motion_text_area_aesthetics_and_alignment_at_the_papers_shares"
AXES = ("motion", "text_area", "aesthetics", "alignment")


def scores(arm: str, seed: int) -> dict[str, Score]:
    i3d = Score(FVD[arm][seed], "FVD[i3d-k400]", "lower", "i3d-k400", "0f" * 32, n_reference=256, stderr=21.0, **COMMON)
    vgg = Score(FD[arm][seed], "FD[vgg16]", "lower", "vgg16", "ab" * 32, n_reference=256, **COMMON)
    clip = Score(CLIP[arm][seed], "CLIP score[toy-clip]", "higher", "toy-clip", "77" * 32, **COMMON)
    dynamic = Score(DYNAMIC[arm][seed], "Dynamic degree", "higher", **COMMON)
    return {"fvd": i3d, "fd_vgg16": vgg, "toy_clip_score": clip, "dynamic_degree": dynamic}


def funnel() -> tuple[FunnelStep, ...]:
    rows = (("motion", "drop_lowest 0.25", 0.21, 812, 812), ("text_area", "drop_highest 0.25", 0.043, 812, 601))
    rows += (("aesthetics", "drop_lowest 0.25", -0.7, 812, 455), ("alignment", "drop_lowest 0.5", 0.24, 1624, 694))
    remaining, steps = 3248, []
    for axis, predicate, threshold, alone, sequence in rows:
        remaining -= sequence
        steps.append(FunnelStep(axis, predicate, threshold, alone, sequence, remaining))
    return tuple(steps)


def moving_squares(clips: int, noise: float, seed: int, frames: int = 10, size: int = 32) -> np.ndarray[Any, Any]:
    """uint8 (clips, frames, 3, size, size): one colour and direction a clip, blurred by `noise`."""
    draw = np.random.default_rng(0)
    colours, places = draw.integers(60, 255, (clips, 3)), draw.integers(2, size // 2, (clips, 2))
    steps, grounds = draw.integers(-1, 2, (clips, 2)), draw.integers(20, 120, (clips, 3))
    rows, columns = np.mgrid[:size, :size]
    videos = np.empty((clips, frames, 3, size, size), np.float32)
    for clip in range(clips):
        for t in range(frames):
            y, x = places[clip] + t * steps[clip] + 4
            edge = np.clip(6 - np.maximum(abs(rows - y), abs(columns - x)), 0, 1)
            ground = grounds[clip][:, None, None] * (0.6 + 0.4 * rows / size)
            videos[clip, t] = ground * (1 - edge) + colours[clip][:, None, None] * edge
    blur = np.random.default_rng(seed).normal(0, noise, (clips, frames, 3, size // 4, size // 4)).astype(np.float32)
    videos += np.kron(blur, np.ones((1, 1, 1, 4, 4), np.float32))
    return videos.clip(0, 255).astype(np.uint8)


def write_run(folder: Path, arm: str, seed: int, clips: int = 12) -> Run:
    """A run whose samples, log and per-clip scores lie under `folder`."""
    samples, log, per_clip = folder / "samples", folder / "metrics.jsonl", folder / "per_clip.parquet"
    samples.mkdir(parents=True)
    noise = 6.0 if arm == "filtered" else 16.0
    save_file({"videos": moving_squares(clips, noise, seed)}, samples / "videos.safetensors")
    prompts = [{"prompt": f"a red square moves left over a green background, take {i}", "fps": 8} for i in range(clips)]
    (samples / "prompts.json").write_text(json.dumps(prompts))
    draw = np.random.default_rng([seed, len(arm)])
    lines = [
        {"samples": n, "loss": 0.2 + 0.5 / (1 + n / 500) + draw.normal(0, 0.01), "loss_by_sigma": by_sigma(n, draw)}
        for n in range(200, 2401, 200)
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = {"clip": list(range(clips)), "metric": ["toy_clip_score"] * clips, "value": draw.normal(0.28, 0.03, clips)}
    pl.DataFrame(rows).write_parquet(per_clip)
    return Run(arm, seed, scores(arm, seed), per_clip=per_clip, samples=samples, log=log)


def by_sigma(samples: int, draw: np.random.Generator) -> dict[str, float | None]:
    """Losses in the ranges of ln sigma; few samples fall into the outer ones."""
    ranges = ("..-2", "-2..-1", "-1..0", "0..1", "1..2", "2..")
    losses = {name: place + 0.5 / (1 + samples / 500) + draw.normal(0, 0.02) for place, name in enumerate(ranges)}
    return {**losses, "..-2": None, **({"2..": None} if samples % 400 else {})}


def with_prompts(result: AblationResult, folder: Path, text: str) -> AblationResult:
    """The same ablation, its clips said to be made from other captions."""
    runs = []
    for run in result.runs:
        samples = folder / f"{run.arm}-{run.seed}"
        samples.mkdir(parents=True)
        (samples / "videos.safetensors").symlink_to(run.samples / "videos.safetensors")
        (samples / "prompts.json").write_text(json.dumps([{"prompt": f"{i} {text}", "fps": 8} for i in range(12)]))
        runs.append(replace(run, samples=samples))
    return replace(result, runs=tuple(runs))


def with_names(result: AblationResult, name: str) -> AblationResult:
    """The same ablation, its metrics called `name`."""
    runs = [
        replace(run, scores={metric: replace(score, name=name) for metric, score in run.scores.items()})
        for run in result.runs
    ]
    return replace(result, runs=tuple(runs))


def as_orbits(result: AblationResult) -> AblationResult:
    """The same ablation, its clips said to be orbits."""
    folder = result.reference.with_name("orbits")
    folder.mkdir(exist_ok=True)
    (folder / "clips.safetensors").write_bytes((result.reference / "clips.safetensors").read_bytes())
    pl.DataFrame({"elevation": [5.0 * n for n in range(12)]}).write_parquet(folder / "clips.parquet")
    return replace(result, reference=folder)


def write_curation(folder: Path, clips: int = 3248) -> Curation:
    """A clip table with plausible scores."""
    draw = np.random.default_rng(5)
    columns = {
        "motion": draw.gamma(1.6, 0.5, clips),
        "text_area": np.where(draw.random(clips) < 0.6, 0, draw.beta(1.2, 12, clips)),
        "aesthetics": draw.normal(0, 1, clips),
        "alignment": np.where(draw.random(clips) < 0.5, draw.normal(0.15, 0.05, clips), draw.normal(0.32, 0.04, clips)),
    }
    table = folder / "clips.parquet"
    pl.DataFrame({"clip_id": [f"{i:06d}" for i in range(clips)], "error": [None] * clips, **columns}).write_parquet(
        table
    )
    f1 = {"cut": 0.991, "fade": 0.94, "dissolve": 0.71}
    return Curation(1000, clips, table, f1, dict(zip(AXES, (0.998, 0.981, 0.934, 0.962), strict=True)))


def write_ablation(folder: Path) -> AblationResult:
    """Three arms, three seeds, all there."""
    folder.mkdir(parents=True, exist_ok=True)
    reference = folder / "reference"
    reference.mkdir()
    save_file({"videos": moving_squares(12, 1.0, 0)}, reference / "clips.safetensors")
    keep = {"motion": {"drop_lowest": 0.25}, "aesthetics": {"drop_lowest": 0.25}}
    kept = FunnelStep("sample", "random, seed 0, as many as the matched predicate keeps", None, 2562, 2562, 686)
    arms = (
        Arm("unfiltered", {}, 3248, (), 0.21, 1.0, 2400),
        Arm("filtered", {"subset.keep": keep}, 686, funnel(), 0.957, 0.921, 2400),
        Arm("same_size_random", {"subset.sample": {"match": "filtered"}}, 686, (kept,), 0.2, 0.21, 2400),
    )
    return AblationResult(
        name="data_curation",
        question="Does pretraining on the filtered subset beat the unfiltered one at equal training steps?",
        paper="Fig. 3b, LVD-10M against LVD-10M-F",
        scale="laptop",
        primary="fvd",
        metrics=("fvd", "fd_vgg16", "toy_clip_score", "dynamic_degree"),
        baseline="unfiltered",
        arms=arms,
        seeds=(0, 1, 2),
        runs=tuple(write_run(folder / f"{arm.name}-{seed}", arm.name, seed) for arm in arms for seed in (0, 1, 2)),
        provenance=provenance(),
        curation=write_curation(folder),
        reference=reference,
        costs=(Cost("corpus", 1, 61.2), Cost("pretrain_videos", 9, 702.8), Cost("score", 9, 233.1)),
        planned_seconds=1180.0,
    )


def provenance() -> Provenance:
    return Provenance(
        spec_path="ablations/specs/data_curation.yaml",
        spec_text="question: Does it?\narms:\n  unfiltered: {}\n",
        revision="0123456789abcdef0123456789abcdef01234567",
        dirty=True,
        packages={"torch": "2.15.0", "diffusers": "0.42.1"},
        machine={"cpu": "two cores", "memory": "24 GB"},
        fingerprints={"corpus": "a1" * 8, "filtered seed 0 score": "b2" * 8},
        commands=("git checkout 0123456789ab", "nox -s ablate -- data_curation"),
        notes=("Stage I has one fixed seed, shared by all arms.",),
        differences={"subset.keep": {"unfiltered": {}, "filtered": {"motion": {}}, "same_size_random": {}}},
    )


def without(
    result: AblationResult, arm: str, *seeds: int, reason: str = "pretrain_videos failed: loss is nan"
) -> AblationResult:
    """The same ablation with runs of `arm` lost (all of them if no seed is named)."""
    lost = [run.arm == arm and (not seeds or run.seed in seeds) for run in result.runs]
    runs = [Run(r.arm, r.seed, missing=reason) if gone else r for r, gone in zip(result.runs, lost, strict=True)]
    return replace(result, runs=tuple(runs))


def renamed(result: AblationResult, names: dict[str, str]) -> AblationResult:
    """The same ablation with other names for its arms."""
    arms = tuple(replace(arm, name=names.get(arm.name, arm.name)) for arm in result.arms)
    runs = tuple(replace(run, arm=names.get(run.arm, run.arm)) for run in result.runs)
    told = {key: {names.get(a, a): v for a, v in own.items()} for key, own in result.provenance.differences.items()}
    provenance = replace(result.provenance, differences=told)
    return replace(
        result, arms=arms, runs=runs, provenance=provenance, baseline=names.get(result.baseline, result.baseline)
    )


def many(result: AblationResult, arms: int = 20) -> AblationResult:
    """The same ablation with copies of its filtered arm under very long names."""
    base = next(arm for arm in result.arms if arm.name == "filtered")
    names = [f"{LONG}_{number}" for number in range(arms - 1)]
    copies = tuple(
        replace(base, name=name, kept=686 + 40 * n, samples=2400 + 100 * n, seconds=200.0 + n)
        for n, name in enumerate(names)
    )
    runs = tuple(replace(result.run("filtered", seed), arm=name) for name in names for seed in result.seeds)
    baseline = tuple(run for run in result.runs if run.arm == result.baseline)
    told = {"subset.keep": {arm: {} for arm in (result.baseline, *names)}}
    provenance = replace(result.provenance, differences=told)
    arms = (replace(result.arms[0], seconds=100.0), *copies)
    return replace(result, arms=arms, runs=(*baseline, *runs), provenance=provenance)


def with_seeds(result: AblationResult, *seeds: int) -> AblationResult:
    """The same ablation cut down to some of its seeds."""
    return replace(result, seeds=seeds, runs=tuple(run for run in result.runs if run.seed in seeds))


def ballots(
    *, raters: int = 4, stale: int = 0, questions: tuple[str, ...] = ("visual quality", "prompt following")
) -> Ballots:
    """Raters who mostly prefer the filtered arm, and one who answers blindly."""
    draw = np.random.default_rng(0)
    arms = ("unfiltered", "filtered", "same_size_random")
    rows = []
    for rater in range(raters):
        for prompt in range(12):
            for one, two in ((0, 1), (0, 2), (1, 2)):
                for question in questions:
                    chance = 0.8 if arms[one] == "filtered" else 0.2 if arms[two] == "filtered" else 0.5
                    score = float(draw.random() < chance)
                    rows.append((arms[one], arms[two], score, f"prompt {prompt}", question, f"rater {rater}", None))
    rows += [("real clip", "damaged clip", 0.0, "prompt 0", "visual quality", "sloppy", 1.0)]
    rows += [("filtered", "unfiltered", 0.0, "prompt 0", "visual quality", "sloppy", None)]
    names = ["left", "right", "score", "prompt", "question", "rater", "expected"]
    return Ballots(pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None), stale)
