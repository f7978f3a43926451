"""What the animal does when: a semi-Markov chain of behaviours with their own durations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinbergen.errors import ConfigError


@dataclass(frozen=True)
class Behaviour:
    """One behaviour and how long its bouts last.

    A bout lasts ``minimum`` plus a Gamma variate of the given ``shape`` whose mean is
    ``mean - minimum``, so that the mean duration is ``mean``.

    Parameters
    ----------
    name
        What the labels call it.
    mean
        Mean duration of a bout (s).
    minimum
        Shortest duration of a bout (s); smaller than ``mean``.
    shape
        Shape of the Gamma distribution: 1 is exponential, larger is more regular.
    """

    name: str
    mean: float
    minimum: float = 0.5
    shape: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.minimum < self.mean:
            raise ConfigError(
                f"Behaviour {self.name!r}: expected 0 < minimum < mean (s), "
                f"found minimum {self.minimum} and mean {self.mean}."
            )
        if not self.shape > 0:
            raise ConfigError(f"Behaviour {self.name!r}: expected shape > 0, found {self.shape}.")

    def sample_duration(self, generator: np.random.Generator) -> float:
        """Draw the duration of one bout (s)."""
        scale = (self.mean - self.minimum) / self.shape
        return self.minimum + generator.gamma(self.shape, scale)


@dataclass(frozen=True)
class Bouts:
    """Behaviour intervals that tile ``[0, duration)`` without gap or overlap.

    Attributes
    ----------
    names
        Name of the behaviour of each bout.
    starts, stops
        Half-open intervals (s), float64, shape (bout,).
    """

    names: tuple[str, ...]
    starts: np.ndarray
    stops: np.ndarray

    def active(self, name: str, times: np.ndarray) -> np.ndarray:
        """Say at which ``times`` (s) the behaviour ``name`` runs; bool, shape (time,)."""
        index = np.searchsorted(self.starts, times, side="right") - 1
        return np.array([bout == name for bout in self.names])[np.clip(index, 0, None)]


@dataclass(frozen=True)
class BehaviourModel:
    """Semi-Markov model: which behaviour follows which, and how long each bout lasts.

    Parameters
    ----------
    behaviours
        The states.
    transitions
        Probability that the row's behaviour is followed by the column's; rows sum to 1, and the
        diagonal is 0 because a bout that follows itself would be one longer bout.

    Examples
    --------
    >>> bouts = MOUSE.sample(20.0, np.random.default_rng(0))
    >>> float(bouts.starts[0]), float(bouts.stops[-1])
    (0.0, 20.0)
    """

    behaviours: tuple[Behaviour, ...]
    transitions: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        n = len(self.behaviours)
        matrix = np.asarray(self.transitions, dtype=float)
        if n < 2 or matrix.shape != (n, n):
            raise ConfigError(
                f"Expected at least 2 behaviours and a square matrix of transitions, found {n} "
                f"behaviours and a matrix of shape {matrix.shape}."
            )
        if (matrix < 0).any() or not np.allclose(matrix.sum(axis=1), 1) or matrix.trace() != 0:
            raise ConfigError(
                "Expected transitions >= 0 with rows that sum to 1 and zeros on the diagonal, "
                f"found {self.transitions}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the behaviours."""
        return tuple(behaviour.name for behaviour in self.behaviours)

    def sample(self, duration: float, generator: np.random.Generator) -> Bouts:
        """Draw bouts until ``duration`` (s) is full; only the last one may be cut short."""
        if not duration > 0:
            raise ConfigError(f"Expected a duration > 0 s, found {duration}.")
        state = int(generator.integers(len(self.behaviours)))
        names, edges = [], [0.0]
        while edges[-1] < duration:
            names.append(self.behaviours[state].name)
            edges.append(edges[-1] + self.behaviours[state].sample_duration(generator))
            state = int(generator.choice(len(self.behaviours), p=self.transitions[state]))
        edges[-1] = duration
        return Bouts(tuple(names), np.array(edges[:-1]), np.array(edges[1:]))


MOUSE = BehaviourModel(
    behaviours=(
        Behaviour("walk", mean=2.8, minimum=0.8, shape=2.0),
        Behaviour("rear", mean=1.6, minimum=0.7, shape=3.0),
        Behaviour("groom", mean=3.2, minimum=1.0, shape=2.0),
        Behaviour("rest", mean=2.5, minimum=0.8, shape=1.5),
    ),
    transitions=(
        (0.0, 0.45, 0.2, 0.35),
        (0.65, 0.0, 0.2, 0.15),
        (0.5, 0.15, 0.0, 0.35),
        (0.6, 0.15, 0.25, 0.0),
    ),
)
"""A lively mouse in a small arena: walk, rear, groom, rest."""
