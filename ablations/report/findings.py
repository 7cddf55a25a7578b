"""The numbers of an ablation, worked out once for tables, figures and page."""

from functools import cached_property
from statistics import fmean, stdev

from ablations.report.by_clip import ClipDifference, clip_differences
from ablations.report.preference import Preference, preference
from ablations.report.result import AblationResult
from ablations.report.style import arm_styles
from ablations.report.wording import ARROWS, decimals, identical, verdict
from ablations.statistics import Comparison, PairedDifference, compare, measured, paired_difference


class Findings:
    """
    Verdicts, paired differences and how they are written. Every property is computed at most once.

    `whole` is the ablation that `result` shows a part of: the family that Holm's correction covers is declared by the
    spec, and choosing what to show does not make it smaller.
    """

    def __init__(self, result: AblationResult, whole: AblationResult | None = None) -> None:
        self.result, self.whole = result, whole or result
        shown = {arm.name for arm in result.arms}
        styles = arm_styles(tuple(arm.name for arm in self.whole.arms), result.baseline)
        self.styles = {arm: style for arm, style in styles.items() if arm in shown}
        self.others = tuple(arm.name for arm in result.arms if arm.name != result.baseline)

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """Arm to verdict on the primary metric, of the arms shown."""
        return {arm: comparison for arm, comparison in self._every_comparison.items() if arm in self.others}

    @cached_property
    def tested(self) -> list[str]:
        """The arms of the family that the spec declares, shown or not: what Holm's correction covers."""
        return [arm for arm, comparison in self._every_comparison.items() if comparison.verdict != "descriptive"]

    @cached_property
    def _every_comparison(self) -> dict[str, Comparison]:
        whole = self.whole
        protocol = whole.protocol(whole.primary)
        direction = protocol.direction if protocol else "lower"
        return compare(whole.scores(whole.primary), whole.baseline, direction, family=whole.family)

    @cached_property
    def values(self) -> dict[str, dict[str, list[float]]]:
        """Metric to arm to the seeds' measured values."""
        metrics = self.result.metrics
        return {m: {arm: list(measured(s).values()) for arm, s in self.result.scores(m).items()} for m in metrics}

    @cached_property
    def differences(self) -> dict[str, dict[str, PairedDifference]]:
        """Metric to arm to its paired difference with the baseline."""
        baseline, metrics = self.result.baseline, self.result.metrics
        scores = {metric: self.result.scores(metric) for metric in metrics}
        return {
            m: {arm: paired_difference(arm, scores[m][arm], baseline, scores[m][baseline]) for arm in self.others}
            for m in metrics
        }

    @cached_property
    def clip_differences(self) -> dict[str, dict[str, ClipDifference]]:
        """Metric to arm to its difference from the baseline clip by clip, of metrics that have values per clip."""
        return clip_differences(self.result)

    @cached_property
    def preference(self) -> Preference | None:
        """What people's votes say; null without any."""
        ballots = self.result.ballots
        return preference(ballots, tuple(arm.name for arm in self.result.arms)) if ballots else None

    def places(self, metric: str) -> int:
        """Digits after the point in all of this metric's cells."""
        return self._places[metric]

    @cached_property
    def _places(self) -> dict[str, int]:
        every = {metric: [v for v in values.values() if v] for metric, values in self.values.items()}
        spreads = {metric: [stdev(v) for v in values if len(v) > 1] for metric, values in every.items()}
        return {metric: decimals(spreads[metric], [fmean(v) for v in values]) for metric, values in every.items()}

    def name(self, metric: str) -> str:
        """The metric's name in full, such as `FVD[i3d-k400]`."""
        protocol = self.result.protocol(metric)
        return protocol.name if protocol else metric

    def label(self, metric: str) -> str:
        """Name and direction, such as `FVD[i3d-k400] ↓`."""
        protocol = self.result.protocol(metric)
        return f"{protocol.name} {ARROWS[protocol.direction]}" if protocol else metric

    @property
    def leaders(self) -> set[str]:
        """Arms set in bold: those better than the baseline, or the baseline if every other arm is worse."""
        words = {arm: c.verdict for arm, c in self.comparisons.items() if c.verdict != "descriptive"}
        if words and set(words.values()) == {"worse"} and len(self.whole.arms) == len(self.result.arms):
            return {self.result.baseline}
        return {arm for arm, word in words.items() if word == "better"}

    @cached_property
    def identical(self) -> set[str]:
        """Arms whose every score is the baseline's to the bit, wherever both were measured."""
        primary, zero = self.result.primary, dict.fromkeys(self.others, True)
        for own in self.differences.values():
            for arm, difference in own.items():
                zero[arm] = zero[arm] and not any(difference.values)
        return {arm for arm, same in zero.items() if same and self.differences[primary][arm].seeds}

    @property
    def verdicts(self) -> tuple[str, ...]:
        """One finding an arm, in words."""
        primary = self.result.primary
        return tuple(
            identical(c) if arm in self.identical else verdict(c, self.name(primary), self.places(primary))
            for arm, c in self.comparisons.items()
        )
