"""A study's parameters: what each may be, and how Optuna is asked for it."""

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from ablations.document import submodel
from ablations.recipe import Recipe
from svd_core.settings import Settings

if TYPE_CHECKING:
    from optuna import Trial

Value = bool | int | float | str | None
Point = dict[str, Value]
"""A value for every parameter, by its dotted name. Null, as a choice, leaves a setting unset: no filter."""

TOLERANCE = 1e-9


def shown(value: Value) -> str:
    """A value as it is read."""
    return "none" if value is None else str(value)


class Parameter(Settings):
    """Either a range from `low` to `high`, both included, in steps of `step` if given; or a list of `choices`."""

    low: float | None = None
    high: float | None = None
    step: float | None = Field(None, gt=0)
    log: bool = False
    choices: tuple[Value, ...] | None = Field(None, min_length=2)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.choices is not None:
            if {"low", "high", "step", "log"} & self.model_fields_set:
                raise ValueError("either choices or a range, not both")
            if len({repr(choice) for choice in self.choices}) < len(self.choices):
                raise ValueError(f"choices {list(self.choices)} name one value twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("a range needs low and high; a list is given as choices")
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        self._check_steps(self.low, self.high)
        return self

    def _check_steps(self, low: float, high: float) -> None:
        if self.log and low <= 0:
            raise ValueError(f"a logarithmic range begins above 0, not at {low:g}")
        if self.log and self.step is not None:
            raise ValueError("a range is logarithmic or has steps, not both")
        if self.step is not None:
            steps = (high - low) / self.step
            if abs(steps - round(steps)) > TOLERANCE or round(steps) < 1:
                nearest = low + max(1, round(steps)) * self.step
                raise ValueError(
                    f"high {high:g} is no whole number of steps of {self.step:g} above {low:g}; say {nearest:g}"
                )

    @property
    def ends(self) -> tuple[Value, ...]:
        """The extreme values, or every choice."""
        if self.choices is not None:
            return self.choices
        return self.bounds

    @property
    def bounds(self) -> tuple[float, float]:
        """The ends of a range."""
        assert self.low is not None and self.high is not None  # noqa: S101  (the validator saw to it)
        return self.low, self.high

    @property
    def levels(self) -> int | None:
        """How many values there are; null for a continuous range."""
        if self.choices is not None:
            return len(self.choices)
        low, high = self.bounds
        return None if self.step is None else round((high - low) / self.step) + 1

    @property
    def values(self) -> tuple[Value, ...]:
        """Every choice, or every step of a range that has steps."""
        if self.choices is not None:
            return self.choices
        assert self.low is not None and self.step is not None and self.levels is not None  # noqa: S101
        return tuple(round(self.low + number * self.step, 10) for number in range(self.levels))

    def holds(self, value: Any) -> bool:
        """Whether the parameter can be `value`."""
        if self.choices is not None:
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = self.bounds
        steps = (value - low) / self.step if self.step else 0.0
        return low - TOLERANCE <= value <= high + TOLERANCE and abs(steps - round(steps)) < TOLERANCE


def is_whole(name: str) -> bool:
    """Whether a setting of the recipe, by its dotted name, is a whole number."""
    model: Any = Recipe
    *parents, leaf = name.split(".")
    for parent in parents:
        model = submodel(model.model_fields[parent].annotation)
    return model.model_fields[leaf].annotation is int


def suggest(trial: "Trial", name: str, parameter: Parameter) -> Value:
    """A trial's value of a parameter: the one it has, or a new one."""
    if parameter.choices is not None:
        return trial.suggest_categorical(name, parameter.choices)
    low, high = parameter.bounds
    if is_whole(name):
        return trial.suggest_int(name, int(low), int(high), step=int(parameter.step or 1), log=parameter.log)
    value = trial.suggest_float(name, low, high, step=parameter.step, log=parameter.log)
    return round(value, 10) if parameter.step else value  # 0.15000000000000002 is the incumbent's 0.15
