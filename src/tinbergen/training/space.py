"""Which values a sweep may give to which settings: read from YAML and checked before it starts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from tinbergen.configuration import Config, merge, read_yaml
from tinbergen.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Kind = Literal["log", "between", "int", "choices"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
_EXPECTED = (
    "expected {log: [low, high]}, {between: [low, high]}, {int: [low, high]} (also with a step) "
    "or a list of choices"
)


@dataclass(frozen=True)
class Dimension:
    """One setting of a search space.

    Attributes
    ----------
    kind
        ``log`` and ``between``: a number between two others, on a logarithmic scale or not.
        ``int``: a whole number. ``choices``: one of a list.
    values
        Lowest and highest value, both included; or all choices.
    step
        Between the values of ``int``.
    """

    kind: Kind
    values: tuple[Any, ...]
    step: int = 1

    def distribution(self) -> BaseDistribution:
        """Return it as Optuna has it; choices by their labels."""
        from optuna import distributions

        if self.kind == "choices":
            return distributions.CategoricalDistribution([_label(v) for v in self.values])
        low, high = self.values
        if self.kind == "int":
            return distributions.IntDistribution(low, high, step=self.step)
        return distributions.FloatDistribution(low, high, log=self.kind == "log")

    def value(self, drawn: Any) -> Any:
        """Return the value of what Optuna drew."""
        if self.kind != "choices":
            return drawn
        return next(value for value in self.values if _label(value) == drawn)

    def drawn(self, value: Any) -> Any:
        """Return a value as Optuna would draw it, or None if it never would."""
        if self.kind == "choices":
            labels = [_label(choice) for choice in self.values]
            return _label(value) if _label(value) in labels else None
        low, high = self.values
        fits = isinstance(value, int | float) and low <= value <= high
        return value if fits and (self.kind != "int" or (value - low) % self.step == 0) else None


Space = dict[str, Dimension]


def _label(value: Any) -> Any:
    """Return a choice as a plain value: Optuna's files hold no lists."""
    plain = value is None or isinstance(value, bool | int | float | str)
    return value if plain else json.dumps(value)


def read_space(space: Mapping[str, Any] | str | os.PathLike) -> dict[str, Any]:
    """Return a search space as it was written, from a YAML file if it is the path of one.

    Raises
    ------
    ConfigError, MissingFileError
        If there is no such file, or it is no mapping.
    """
    return dict(space) if isinstance(space, Mapping) else read_yaml(space)


def parse_space(written: Mapping[str, Any]) -> Space:
    """Turn ``{"train.learning_rate": {"log": [1e-4, 1e-2]}, ...}`` into dimensions.

    Raises
    ------
    ConfigError
        If there is none, or one cannot be understood; naming its key.

    Examples
    --------
    >>> parse_space({"network.width": [64, 128]})
    {'network.width': Dimension(kind='choices', values=(64, 128), step=1)}
    """
    if not written:
        raise ConfigError(f"The search space is empty; {_EXPECTED} for each setting.")
    return {str(key): _dimension(str(key), value) for key, value in written.items()}


def _dimension(key: str, written: Any) -> Dimension:
    if isinstance(written, list | tuple):
        written = {"choices": written}
    if not isinstance(written, Mapping):
        raise ConfigError(f"{key}: {_EXPECTED}, found {written!r}.")
    kinds: list[Kind] = [kind for kind in _KINDS if kind in written]
    others = sorted(set(written) - set(kinds) - ({"step"} if kinds == ["int"] else set()))
    if len(kinds) != 1 or others:
        raise ConfigError(
            f"{key}: {_EXPECTED}, found {dict(written)!r}. Write the whole name of a setting with "
            "dots, such as train.learning_rate."
        )
    kind, values = kinds[0], written[kinds[0]]
    if not isinstance(values, list | tuple):
        raise ConfigError(f"{key}: {_EXPECTED}, found {values!r}.")
    dimension = Dimension(kind, tuple(values), written.get("step", 1))
    _check(key, dimension)
    return dimension


def _check(key: str, dimension: Dimension) -> None:
    values, kind = dimension.values, dimension.kind
    if kind == "choices":
        if len(values) < 2 or len({json.dumps(v) for v in values}) < len(values):
            raise ConfigError(f"{key}: expected two or more different choices, found {values}.")
        return
    wanted = int if kind == "int" else int | float
    plain = all(isinstance(v, wanted) and not isinstance(v, bool) for v in values)
    if len(values) != 2 or not plain or not values[0] < values[1]:
        raise ConfigError(f"{key}: expected {kind}: [low, high], found {list(values)}.")
    if kind == "log" and values[0] <= 0:
        raise ConfigError(f"{key}: a logarithmic scale begins above 0, found {values[0]}.")
    step = dimension.step
    if not isinstance(step, int) or step < 1 or (kind == "int" and (values[1] - values[0]) % step):
        raise ConfigError(f"{key}: {values[1]} is no multiple of step {step!r} above {values[0]}.")


def check_space(space: Space, config: Callable[[Mapping[str, Any]], Config]) -> None:
    """Try the ends of every dimension, or all its choices, with all else as it is.

    Parameters
    ----------
    config
        Makes the settings from changes, and refuses those that cannot be.

    Raises
    ------
    ConfigError
        Naming the setting: there is none of that name, or it cannot have the value.
    """
    for key, dimension in space.items():
        for value in dimension.values:
            try:
                config(nested({key: value}))
            except ConfigError as error:
                raise ConfigError(f"Search space, {key} = {value}: {error}") from None


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn ``{"a.b": 1, "a.c": 2}`` into ``{"a": {"b": 1, "c": 2}}``.

    Examples
    --------
    >>> nested({"a.b": 1, "a.c": 2})
    {'a': {'b': 1, 'c': 2}}
    """
    result: dict[str, Any] = {}
    for key, value in flat.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        result = merge(result, value)
    return result


def setting(config: Config, key: str) -> Any:
    """Return the setting ``a.b`` of a configuration as YAML has it; None if there is none."""
    value: Any = config.model_dump(mode="json")
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
