"""CSV files with every digit: one row a run, one row a comparison, and costs apart."""

import csv
import io
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

from ablations.report.findings import Findings
from ablations.report.result import AblationResult
from ablations.statistics import Comparison

DIFFERENCE_COLUMNS = (
    *("metric", "role", "arm", "baseline", "pairs", "mean", "sd"),
    *("mean_difference", "sd_difference", "low_95", "high_95", "wide_low_95", "wide_high_95", "p"),
)
VERDICT_COLUMNS = ("p_holm", "holm_level", "holm_low", "holm_high", "verdict", "detectable_80", "seeds_to_settle")


def runs_csv(findings: Findings) -> str:
    """One row a run, every digit; what is missing is empty, with the reason in the last column."""
    result, rows = findings.result, []
    for run in result.runs:
        clips = next(arm.kept for arm in result.arms if arm.name == run.arm)
        reasons = dict.fromkeys(r for metric in result.metrics if (r := run.reason(metric)))
        rows.append([run.arm, run.seed, clips, *(run.value(m) for m in result.metrics), "; ".join(reasons)])
    return _csv(["arm", "seed", "clips", *(findings.name(m) for m in result.metrics), "missing"], rows)


def comparisons_csv(findings: Findings) -> str:
    """One row a metric and arm, every digit: means, paired differences, intervals, and the primary's verdict."""
    header = (*DIFFERENCE_COLUMNS, *VERDICT_COLUMNS, "reason")
    rows: list[list[object]] = []
    for metric in findings.result.metrics:
        primary = metric == findings.result.primary
        for arm, d in findings.differences[metric].items():
            values = findings.values[metric][arm]
            row: list[object] = [findings.name(metric), "primary" if primary else "descriptive", arm, d.baseline]
            row += [len(d.seeds), fmean(values) if values else None, stdev(values) if len(values) > 1 else None]
            row += [d.mean, d.sd]
            row += [end for i in (d.interval, d.wide_interval) for end in ((i.low, i.high) if i else (None, None))]
            row += [d.p_value]
            row += _verdict_columns(findings.comparisons[arm]) if primary else [None] * len(VERDICT_COLUMNS)
            rows.append([*row, d.reason])
    return _csv(header, rows)


def _verdict_columns(c: Comparison) -> list[object]:
    interval = [c.interval.level, c.interval.low, c.interval.high] if c.interval else [None, None, None]
    return [c.p_holm, *interval, c.verdict, c.detectable, c.seeds_to_settle]


def cost_csv(result: AblationResult) -> str:
    """Seconds spent, one row a kind of stage: the only table that two runs need not agree on."""
    rows = [[cost.stage, cost.runs, cost.seconds, cost.accelerator_seconds] for cost in result.costs]
    return _csv(["stage", "runs", "seconds", "accelerator_seconds"], rows)


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
