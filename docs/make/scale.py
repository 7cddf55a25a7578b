"""
`python docs/make/scale.py`: what the paper's sizes would cost, from the committed figures, into docs/scale.md.

Runs nothing but arithmetic and a count of FLOPs on networks without weights. What was not measured is said to be so.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from page import put, table

from ablations.flops import counted
from ablations.plan import plan
from ablations.spec import load

FIGURES = Path(__file__).parents[2] / "results" / "performance"
LVD_YEARS, LVD_CLIPS = 212.09, 577e6
"""Table 1 of the paper."""
HOURS_A_YEAR = 24 * 365.25
GPUS = (32, 256, 2048)
CORES_A_GPU = 16
PEAK = 989.4e12
"""Dense bfloat16 of an H100 SXM or H200 by its data sheet."""


def figure(suite: str, name: str) -> dict[str, Any]:
    """One figure of a committed suite; ValueError if the suite has none of that name."""
    for entry in json.loads((FIGURES / f"{suite}.json").read_text())["figures"]:
        if entry["name"] == name:
            return dict(entry)
    raise ValueError(f"results/performance/{suite}.json has no figure {name}; run `nox -s bench -- {suite}`")


def noted(suite: str, name: str, what: str) -> float:
    """A value noted beside a figure, as a goal or without one."""
    entry = figure(suite, name)
    goals = {goal["what"]: goal["value"] for goal in entry.get("goals", [])}
    return float({**entry, **goals}[what])


def sustained() -> float:
    """FLOP/s that SVD's network reached in training on the GPU of the committed figures."""
    return PEAK * noted("gpu", "training", "MFU")


def days(hours: float, at_once: float) -> str:
    """Days of so many GPUs or cores at once."""
    return f"{hours / at_once / 24:,.3g}"


def curation() -> str:
    """LVD by the whole pass: cuts, clips, scores and shards."""
    cost = noted("curation", "two_workers", "core-seconds a second of video")
    hours = LVD_YEARS * HOURS_A_YEAR * cost
    rows = [[f"{gpus * CORES_A_GPU:,} cores (of {gpus:,} GPUs)", days(hours, gpus * CORES_A_GPU)] for gpus in GPUS]
    words = (
        f"{cost:.2f} core-seconds a second of 720p video ({CORES_A_GPU} cores a GPU assumed), "
        f"{LVD_YEARS:g} years of it: **{hours:,.3g} core-hours**."
    )
    return f"{words}\n\n{table(['on', 'days'], rows)}"


def training() -> str:
    """One `data_curation` at the paper's sizes, by counted FLOPs."""
    graph = plan(load("data_curation", "paper"))
    flops: Counter[str] = Counter()
    for node in graph.nodes.values():
        flops[node.stage] += counted(node, graph) or 0.0
    rate = sustained()
    hours = {stage: count / rate / 3600 for stage, count in flops.most_common() if count}
    rows = [[stage, f"{flops[stage]:.3g}", f"{hours[stage]:,.3g}"] for stage in hours]
    total = sum(hours.values())
    words = (
        f"At {rate / PEAK:.1%} of {PEAK / 1e12:g} TFLOP/s, which SVD's network reached on one H200: "
        f"**{total:,.3g} GPU-hours**; "
        + ", ".join(f"{days(total, gpus)} days on {gpus:,} GPUs" for gpus in GPUS)
        + " if the runs divide evenly."
    )
    return f"{words}\n\n{table(['stage', 'FLOPs', 'GPU-hours'], rows)}"


def loading() -> str:
    """Cores that feed the GPUs of the first video stage: 14 frames of 256 x 384."""
    rate = noted("loader", "an_epoch_of_a_subset[0.235]", "samples a second")
    samples, gpus = 150e3 * 1536, GPUS[-1]
    flops = first_stage_flops()
    needed = gpus * sustained() / flops
    rows = [
        ["samples a second that one core reads", f"{rate:,.3g}"],
        ["FLOPs of a sample, forward and backward", f"{flops:.3g}"],
        [f"samples a second that {gpus:,} GPUs ask for", f"{needed:,.3g}"],
        ["cores that feed them", f"{needed / rate:,.3g}"],
        ["GPU-hours of this stage's 150,000 steps of 1,536", f"{samples * flops / sustained() / 3600:,.3g}"],
    ]
    return table(["", "value"], rows)


def first_stage_flops() -> float:
    """Of one clip of 14 frames of 32 x 48 latents through the released network and back."""
    import torch
    from diffusers import UNetSpatioTemporalConditionModel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = UNetSpatioTemporalConditionModel(in_channels=4, num_frames=14).to("meta")
        latents, text, ids = torch.zeros(1, 14, 4, 32, 48), torch.zeros(1, 77, 1024), torch.zeros(1, 3)
        network(latents, torch.zeros(1), text, ids, return_dict=False)[0].sum().backward()
    return float(counter.get_total_flops())


def limits() -> str:
    """Parts by the largest size that was tried here, and what that says of the paper's."""
    columns = ["part", "largest size tried", "cost there", "at LVD's size"]
    table_s = noted("clip_table", "a_hundred_million_rows", "seconds of filtering")
    table_gb = noted("clip_table", "a_hundred_million_rows", "peak, GB")
    plan_s, status_s = (figure("harness", f"{part}[10000]")["seconds"]["median"] for part in ("plan", "status"))
    submit_s = figure("harness", "submit[10000]")["seconds"]["median"]
    resume_s = figure("loader", "resuming_in_mid_epoch_among_ten_million")["seconds"]["median"]
    whole, whole_index = LVD_CLIPS / 1e8 * table_s, LVD_CLIPS / 1e7 * resume_s
    rows = [
        ["thresholds, funnel, keep list", "100M clips", f"{table_s:.3g} s, {table_gb:.2g} GB", f"{whole:.3g} s"],
        ["resuming a loader in mid-epoch", "10M clips", f"{resume_s:.2g} s", f"{whole_index:.3g} s a process"],
        ["planning", "10,000 runs", f"{plan_s:.2g} s", "as many"],
        ["status", "10,000 runs", f"{status_s:.2g} s", "as many"],
        ["submitting (SLURM answered by a stub)", "10,000 runs", f"{submit_s:.2g} s", "as many"],
    ]
    return table(columns, rows)


if __name__ == "__main__":
    put("scale.md", curation=curation(), training=training(), loading=loading(), limits=limits())
