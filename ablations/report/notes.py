"""What stands below the table: what was measured with what, how to read it, and what is missing."""

from ablations.report.findings import Findings
from ablations.report.preference import Preference
from ablations.report.result import AblationResult, Score
from ablations.report.wording import number, percent


def notes(findings: Findings) -> tuple[str, ...]:
    """Everything that a reader of the panels must know."""
    result = findings.result
    return (*reading(findings), *training(result), *polling(findings.preference), *gaps(result))


def training(result: AblationResult) -> list[str]:
    """What the column of clips leaves out: arms that it says nothing of, and the clips of finetuning."""
    idle: dict[str, list[str]] = {}
    finetuned: dict[int, list[str]] = {}
    for arm in result.arms:
        if arm.idle:
            idle.setdefault(arm.idle, []).append(arm.name)
        if arm.finetuned_on is not None:
            finetuned.setdefault(arm.finetuned_on, []).append(arm.name)
    told = [f"No clips are given for {', '.join(arms)}: {reason}." for reason, arms in idle.items()]
    for count, arms in finetuned.items():
        who = "all arms" if len(arms) == len(result.arms) else ", ".join(arms)
        told.append(f"Clips are those of pretraining; {who} are then finetuned on another set, of {count} clips.")
    return told


def caption(findings: Findings) -> str:
    """What was measured, on how much, with what."""
    result = findings.result
    seeds = ", ".join(map(str, result.seeds))
    protocols = {metric: p for metric in result.metrics if (p := result.protocol(metric))}
    parts = [f"Seed{'s' if len(result.seeds) > 1 else ''} {seeds}; scale {result.scale}."]
    sizes = {metric: _size(protocol) for metric, protocol in protocols.items()}
    for size in dict.fromkeys(sizes.values()):
        if size:
            named = [protocols[m].name for m, s in sizes.items() if s == size]
            parts.append(f"{'All metrics' if len(named) == len(result.metrics) else ', '.join(named)}: {size}.")
    encoders = dict.fromkeys(f"{p.encoder}{_digest(p)}" for p in protocols.values() if p.encoder)
    if encoders:
        parts.append(f"Encoders: {', '.join(encoders)}.")
    return " ".join(parts)


def _size(score: Score) -> str:
    parts = []
    if score.n is not None:
        parts.append(f"n = {score.n} generated clips a run")
    if score.n_reference is not None:
        parts.append(f"against {score.n_reference} reference clips")
    if score.frames is not None and score.resolution is not None:
        parts.append(f"of {score.frames} frames at {score.resolution} × {score.resolution} pixels")
    return " ".join(parts)


def _digest(score: Score) -> str:
    return f" (SHA-256 {score.weights[:8]}…)" if score.weights else ""


def reading(findings: Findings) -> list[str]:
    """How the panels are to be read."""
    notes = []
    if findings.others:
        levels = sorted({c.interval.level for c in findings.comparisons.values() if c.interval}, reverse=True)
        own = ", ".join(percent(level) for level in levels)
        tested = findings.tested
        family = f"the {len(tested)} arms" if len(tested) > 1 else "the one arm"
        if len(tested) < len(findings.whole.arms) - 1:
            family += f" ({', '.join(tested)})"
        notes.append(
            f"The verdict rests on {findings.name(findings.result.primary)} alone: a paired t interval over seeds with "
            f"Holm's correction over {family} compared. Its interval has the confidence level of the arm's own Holm "
            f"step{f' ({own})' if own else ''} and excludes zero exactly where the verdict is better or worse."
        )
        notes.append(
            "All other metrics are descriptive: unadjusted 95 % intervals, no verdict. "
            "Bold: decided by the verdict, never by rank alone. *, **, ***: p below 0.05, 0.01, 0.001 after Holm."
        )
    if findings.clip_differences:
        notes.append(
            "Clip by clip: clips of all seeds made from what one held-out video gives (its caption, frames or views) "
            "are one cluster. These intervals speak of the networks trained, not of other seeds, so they are no "
            "verdict."
        )
    return notes


def gaps(result: AblationResult) -> list[str]:
    """Every value that a mean had to do without, and why."""
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for run in result.runs:
        reasons: dict[str, list[str]] = {}
        for metric in result.metrics:
            if (reason := run.reason(metric)) is not None:
                reasons.setdefault(reason, []).append(metric)
        for reason, metrics in reasons.items():
            what = "" if len(metrics) == len(result.metrics) else f" {', '.join(metrics)}"
            seeds.setdefault((run.arm, what, reason), []).append(run.seed)
    return [
        f"Missing: {arm}, seed{'s' if len(lost) > 1 else ''} {', '.join(map(str, lost))}{what} ({reason})."
        for (arm, what, reason), lost in seeds.items()
    ]


def polling(found: Preference | None) -> list[str]:
    """Who voted, who was left out, and how far they agree."""
    if found is None:
        return []
    raters = f"{found.raters} rater{'s' if found.raters > 1 else ''}"
    notes = [
        f"Votes: {found.votes} by {raters} on {found.prompts} prompts. Elo with K = 1 and start 1000, mean of 1000 "
        "shuffled orders; Bradley–Terry by maximum likelihood on the same scale, a tie as half a win each. Intervals "
        "are bootstrapped over prompts and raters"
        + (", but one rater's votes speak of that rater only." if found.raters == 1 else ".")
    ]
    for question, arms in found.tied.items():
        about = f", {question}" if question else ""
        notes.append(f"No interval of Elo{about}, of {', '.join(arms)}: all votes are ties, which move no rating.")
    for question, (alpha, reason) in found.alpha.items():
        about = f" on {question}" if question else ""
        told = f"Krippendorff's α = {number(alpha, 2)}" if reason is None else f"no Krippendorff's α ({reason})"
        notes.append(f"Agreement of raters{about}: {told}.")
    if found.inattentive:
        lost = ", ".join(f"{entry.right} of {entry.checks}" for entry in found.inattentive)
        count = len(found.inattentive)
        notes.append(f"Left out: {count} rater{'s' if count > 1 else ''} who passed only {lost} attention checks.")
    if found.stale:
        notes.append(f"Left out: {found.stale} votes on samples that have been replaced since.")
    return notes + [f"Not rated: {reason}." for reason in found.lacking]
