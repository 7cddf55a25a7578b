"""The clips that a metric likes best and least, of each arm: what its scores reward, and where an arm fails."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from ablations.report.clips import all_per_clip, clip_of, prompts
from ablations.report.findings import Findings
from ablations.report.gallery import LONGEST, Extremes, Files, Sheet, sheet_of, slug
from ablations.report.wording import number

BYTES = 200_000
"""What all their sheets may take: metrics beyond it are left out, in the order of the spec."""
TITLES = ("best", "second best", "second worst", "worst")


def write_extremes(findings: Findings, folder: Path) -> tuple[Extremes, ...]:
    """Write sheets into `folder`/gallery, which is there, for every metric that has values per clip."""
    table = all_per_clip(findings.result)
    texts = prompts(findings.result)
    found: list[Extremes] = []
    spent = 0
    for metric in findings.result.metrics:
        own = table.filter(pl.col("metric") == metric)
        if own["value"].n_unique() < len(TITLES):  # a yes or no of each clip has no best ones
            continue
        sheets, files = _sheets(findings, metric, own, texts)
        spent += sum(map(len, files.values()))
        if spent > BYTES:
            break
        for name, content in files.items():
            (folder / name).write_bytes(content)
        found.append(Extremes(findings.label(metric), TITLES, tuple(sheets)))
    return tuple(found)


def _sheets(findings: Findings, metric: str, table: pl.DataFrame, texts: list[str]) -> tuple[list[Sheet], Files]:
    """One sheet an arm: its two best clips and its two worst."""
    protocol = findings.result.protocol(metric)
    lower = protocol is not None and protocol.direction == "lower"
    sheets: list[Sheet] = []
    files: Files = {}
    for place, (arm, style) in enumerate(findings.styles.items()):
        empty = Sheet(arm, style.colour, None, reason="no such clip")
        ranked = table.filter(pl.col("arm") == arm).sort("value", "seed", "clip", descending=[not lower, False, False])
        if ranked.height < len(TITLES):
            sheets.append(empty)
            continue
        rows = pl.concat([ranked.head(2), ranked.tail(2)]).select("seed", "clip", "value").rows()
        clips = np.stack([clip_of(findings.result.run(arm, seed), clip) for seed, clip, _ in rows])
        notes = tuple(f"{number(value, 2)}, seed {seed}: {texts[clip]}" for seed, clip, value in rows)
        name = f"gallery/extreme-{slug(metric)}-{place:02d}-{slug(arm)}.avif"
        sheet, added = sheet_of(name, clips, replace(empty, notes=notes, reason=None), LONGEST)
        sheets.append(sheet)
        files |= added
    return sheets, files
