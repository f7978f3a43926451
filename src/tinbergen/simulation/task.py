"""A visual decision task with blocks, and neurons that take part in it.

After the task of the International Brain Laboratory (2021, doi:10.7554/eLife.63711): a grating
appears left or right with some contrast, the animal turns a wheel, and the prior probability of
the left side changes in blocks. All parameters are invented but of the order of what mice do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from tinbergen.errors import ConfigError
from tinbergen.recordings.dataset import Dataset
from tinbergen.recordings.intervals import Intervals
from tinbergen.recordings.recording import Recording
from tinbergen.recordings.series import Series
from tinbergen.recordings.trials import Trials
from tinbergen.simulation.firing import draw_spikes
from tinbergen.simulation.motion import smooth_noise
from tinbergen.simulation.neurons import Population, Region

GRID_S = 0.02
"""Step of the grid on which neurons follow the task (s)."""

_WHEEL_HZ = 100.0
_WHISKER_HZ = 60.0
_TURN_RAD = 0.31
_ENGAGED_TRIALS = 25.0
_PULSE_S = 0.35
_TIME_S = 2.0  # to answer in, where no answer comes

TASK_REGIONS = (
    Region("VISa", ("stim_left", "stim_right", "choice_left", "choice_right", "wheel"), 0.06),
    Region("LP", ("stim_left", "stim_right", "whisker", "engaged"), 0.04),
    Region("PO", ("whisker", "wheel", "wheel_velocity"), 0.0),
    Region("CA1", ("block", "reward", "wheel", "engaged"), 0.1, bumps=0.2),
    Region("DG", ("block", "reward", "error", "choice_left", "choice_right"), 0.12, bumps=0.2),
)
"""Five regions: names of the repeated site of the IBL; what they read is invented."""


@dataclass(frozen=True)
class Task:
    """Rules of the task, and how the animal plays.

    Attributes
    ----------
    contrasts, contrast_shares
        Contrasts of the grating and how often each is drawn.
    priors
        Probability of the left side in the first block and in the two kinds of later blocks.
    unbiased
        Trials of the first block.
    block_length
        Shortest, mean of the exponential part and longest block, in trials.
    slope, exponent
        Evidence is ``slope * contrast ** exponent``, in log odds.
    bias
        Weight of the log prior odds.
    lapse
        Probability of a guess, on each side.
    no_go
        Share of trials without an answer: the wheel stays until time is up, ``choice`` is 0,
        ``first_movement`` and ``reaction_time`` are NaN.
    """

    contrasts: tuple[float, ...] = (0.0, 0.0625, 0.125, 0.25, 1.0)
    contrast_shares: tuple[float, ...] = (1 / 9, 2 / 9, 2 / 9, 2 / 9, 2 / 9)
    priors: tuple[float, float, float] = (0.5, 0.2, 0.8)
    unbiased: int = 90
    block_length: tuple[int, float, int] = (20, 40.0, 100)
    slope: float = 8.0
    exponent: float = 0.7
    bias: float = 0.8
    lapse: float = 0.03
    no_go: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.no_go < 1:
            raise ConfigError(f"no_go: expected a share from 0 to below 1, found {self.no_go}.")

    def right_probability(self, side, contrast, prior_left) -> np.ndarray:
        """Return the probability of a right choice (elementwise).

        Parameters
        ----------
        side
            -1 (left) or 1 (right).
        contrast
            In [0, 1].
        prior_left
            Probability of the left side in the block.
        """
        prior_left = np.asarray(prior_left, float)
        evidence = side * self.slope * np.asarray(contrast, float) ** self.exponent
        odds = evidence + self.bias * np.log((1 - prior_left) / prior_left)
        return self.lapse + (1 - 2 * self.lapse) / (1 + np.exp(-odds))

    def draw(
        self, generator: np.random.Generator, trials: int = 300, duration: float | None = None
    ) -> TaskSession:
        """Draw a session of ``trials``, or of what fits wholly into ``duration`` (s)."""
        if trials < 1 or (duration is not None and not duration > 0):
            raise ConfigError(
                f"Expected at least 1 trial and a duration > 0 s, found {trials} and {duration}."
            )
        if duration is not None:
            trials = int(np.ceil(duration))  # no trial is shorter than 1 s
        table = self._trials(trials, generator)
        if duration is not None:
            table = table.loc[(table["stop"] <= duration).to_numpy()]
        end = float(duration or table["stop"].to_numpy()[-1] + 1.0)
        engaged = table.pop("engaged").to_numpy()
        movements = _movements(table, end, generator)
        wheel = _wheel(movements, end)
        whisker = _whisker(table, engaged, wheel, end, generator)
        return TaskSession(Trials(table), engaged, wheel, whisker, end)

    def _trials(self, n: int, generator: np.random.Generator) -> pd.DataFrame:
        prior = self._blocks(n, generator)
        side = np.where(generator.random(n) < prior, -1, 1)
        contrast = generator.choice(self.contrasts, n, p=self.contrast_shares)
        right = generator.random(n) < self.right_probability(side, contrast, prior)
        choice = np.where(right, 1, -1)
        engaged = smooth_noise(n, 1.0, _ENGAGED_TRIALS, generator)
        slow = (0.18 + 0.25 / (1 + 6 * contrast)) * np.exp(-0.1 * engaged)
        reaction = np.clip(slow * np.exp(0.35 * generator.standard_normal(n)), 0.08, 10.0)
        movement = 0.25 * np.exp(0.3 * generator.standard_normal(n))
        before, after = generator.uniform(0.4, 0.7, n), generator.exponential(0.3, n)
        missed = np.zeros(n, dtype=bool)
        if self.no_go:
            missed = generator.random(n) < self.no_go
            choice[missed], reaction[missed], movement[missed] = 0, _TIME_S, 0.0
        reward = (choice == side).astype(int)
        length = before + reaction + movement + np.where(reward, 1.0, 2.0)
        start = np.concatenate([[0.0], np.cumsum(length + after)[:-1]]) + 0.5
        stim_on = start + before
        table = pd.DataFrame(
            {
                "start": start,
                "stop": start + length,
                "stim_on": stim_on,
                "first_movement": np.where(missed, np.nan, stim_on + reaction),
                "response": stim_on + reaction + movement,
                "feedback": stim_on + reaction + movement,
                "side": side,
                "contrast": contrast,
                "prior_left": prior,
                "choice": choice,
                "reward": reward,
                "reaction_time": np.where(missed, np.nan, reaction),
                "engaged": engaged,
            }
        )
        return table

    def _blocks(self, n: int, generator: np.random.Generator) -> np.ndarray:
        shortest, mean, longest = self.block_length
        lengths, priors = [self.unbiased], [self.priors[0]]
        kind = int(generator.integers(1, 3))
        while sum(lengths) < n:
            extra = generator.exponential(mean)
            while shortest + extra > longest:
                extra = generator.exponential(mean)
            lengths.append(shortest + int(extra))
            priors.append(self.priors[kind])
            kind = 3 - kind
        return np.repeat(priors, lengths)[:n]


@dataclass(frozen=True)
class TaskSession:
    """What happened in one session of the task.

    Attributes
    ----------
    trials
        Columns ``stim_on``, ``first_movement``, ``response``, ``feedback`` (s), ``side`` and
        ``choice`` (-1 left, 1 right, 0 none), ``contrast``, ``prior_left`` (probability of the
        left side), ``reward`` (1 or 0), ``reaction_time`` (s).
    engaged
        ``(trial,)``, how engaged the animal is; unit variance.
    wheel
        ``position`` (rad, right is positive) and ``velocity`` (rad/s) at 100 Hz.
    whisker
        Motion energy of the whisker pad at 60 Hz, any units.
    duration
        s.
    """

    trials: Trials
    engaged: np.ndarray
    wheel: Series
    whisker: Series
    duration: float

    def drives(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """Return what neurons of the task can read at ``times`` (s), each of order 1."""
        table, zeros = self.trials.table, np.zeros(len(times))
        found = {name: zeros.copy() for name in ("block", "stim_left", "stim_right")}
        found |= {name: zeros.copy() for name in ("choice_left", "choice_right")}
        found |= {"reward": zeros.copy(), "error": zeros.copy()}
        names = ("stim_on", "first_movement", "response", "side", "choice", "reward", "contrast")
        rows = zip(*(table[name].to_numpy() for name in names), strict=True)
        for stim_on, moved, response, side, choice, reward, contrast in rows:
            seen, since = _since(times, stim_on, response)
            size = 2.5 * contrast**0.5
            found["stim_right" if side > 0 else "stim_left"][seen] += size * (
                0.3 + 0.7 * np.exp(-since / 0.15)
            )
            if choice:
                chosen, since = _since(times, moved - 0.15, response + 0.1)
                length = response + 0.25 - moved
                found["choice_right" if choice > 0 else "choice_left"][chosen] += 1.2 * np.sin(
                    np.pi * np.clip(since / length, 0, 1)
                )
            told, since = _since(times, response, response + 5 * _PULSE_S)
            found["reward" if reward else "error"][told] += 2.0 * np.exp(-since / _PULSE_S)
        if len(table):
            at = np.searchsorted(table["start"], times, side="right") - 1
            prior = table["prior_left"].to_numpy()[np.clip(at, 0, None)]
            found["block"] = 0.4 * (0.5 - prior) / 0.3
        velocity = np.interp(times, self.wheel.times, self.wheel.values[:, 1])
        whisker = np.interp(times, self.whisker.times, self.whisker.values[:, 0])
        return found | {
            "wheel": np.abs(velocity),
            "wheel_velocity": 0.5 * velocity,
            "whisker": 1.5 * (whisker - 1.0),
            "engaged": _at_trials(times, table, self.engaged),
        }

    @property
    def streams(self) -> dict[str, Trials | Series]:
        """The streams ``trials``, ``wheel`` and ``whisker``."""
        return {"trials": self.trials, "wheel": self.wheel, "whisker": self.whisker}


def simulate_task(
    *,
    trials: int = 300,
    neurons: int = 100,
    seed: int = 0,
    animal: int = 0,
    session: int = 0,
    fano: float = 1.0,
    task: Task | None = None,
) -> Recording:
    """Simulate one session of the task without a video.

    Parameters
    ----------
    trials
        Number of trials, 3 to 4 s each.
    neurons
        Number of units, shared out among :data:`TASK_REGIONS`.
    seed
        Seed of everything. The same ``seed`` and ``animal`` have the same neurons in every
        ``session``.
    animal, session
        Which animal, and which of its sessions.
    fano
        Fano factor of the counts given the rates, see
        :func:`~tinbergen.simulation.firing.draw_spikes`.
    task
        Rules and play; default: :class:`Task`.

    Returns
    -------
    Recording
        Streams ``spikes``, ``rates`` (true rates, Hz), ``trials``, ``wheel`` and ``whisker``.
    """
    population = Population.draw(
        neurons, np.random.default_rng([seed, animal, 0, 1]), TASK_REGIONS
    )
    generator = np.random.default_rng([seed, animal, session, 2])
    played = (task or Task()).draw(generator, trials)
    times = np.arange(int(np.ceil(played.duration / GRID_S))) * GRID_S
    rates = population.rates(times, played.drives(times), generator)
    spikes = draw_spikes(rates, generator, fano)
    streams = {"spikes": spikes, "rates": rates, **played.streams}
    return Recording(f"animal{animal}_session{session}", streams, f"animal{animal}")


def simulate_task_study(
    *, animals: int = 5, sessions: int = 1, trials: int = 300, neurons: int = 100, **options
) -> Dataset:
    """Simulate sessions of several animals, each with neurons of its own.

    Parameters
    ----------
    animals, sessions
        Number of animals, and of sessions of each.
    trials, neurons, **options
        See :func:`simulate_task`.

    Returns
    -------
    Dataset
        In memory; ``.save(folder)`` writes it.
    """
    if animals < 1 or sessions < 1:
        raise ConfigError(
            f"Expected at least 1 animal and 1 session, found {animals} and {sessions}."
        )
    recordings = [
        simulate_task(trials=trials, neurons=neurons, animal=animal, session=session, **options)
        for animal in range(animals)
        for session in range(sessions)
    ]
    return Dataset(recordings)


def _since(times: np.ndarray, start: float, stop: float) -> tuple[slice, np.ndarray]:
    """Return the part of ``times`` in ``[start, stop)`` and how long each is after ``start``."""
    first, last = np.searchsorted(times, [start, stop])
    return slice(first, last), times[first:last] - start


def _at_trials(times: np.ndarray, table: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    if not len(values):
        return np.zeros(len(times))
    return np.interp(times, table["start"].to_numpy(), values)


def _movements(table: pd.DataFrame, end: float, generator: np.random.Generator) -> np.ndarray:
    """Return the turns of the wheel: start (s), duration (s), angle (rad); ``(movement, 3)``."""
    n = len(table)
    start = table["first_movement"].to_numpy()
    angle = _TURN_RAD * table["choice"].to_numpy() * np.exp(0.15 * generator.standard_normal(n))
    answers = np.column_stack([start, table["response"].to_numpy() - start, angle])
    answers = answers[table["choice"].to_numpy() != 0]
    count = generator.poisson(0.15 * end)
    idle = np.column_stack(
        [
            generator.uniform(0, end, count),
            generator.uniform(0.2, 0.6, count),
            0.12 * generator.standard_normal(count),
        ]
    )
    # The animal holds the wheel still from the start of a trial until it answers.
    at = np.searchsorted(table["start"].to_numpy(), idle[:, 0] + idle[:, 1], side="right") - 1
    free = idle[:, 0] > np.append(table["response"].to_numpy(), -1.0)[at]
    return np.concatenate([answers, idle[free]])


def _wheel(movements: np.ndarray, end: float) -> Series:
    times = np.arange(int(np.ceil(end * _WHEEL_HZ))) / _WHEEL_HZ
    velocity = np.zeros(len(times))
    for start, duration, angle in movements:
        part, since = _since(times, start, start + duration)
        velocity[part] += angle / duration * (1 - np.cos(2 * np.pi * since / duration))
    values = np.column_stack([np.cumsum(velocity) / _WHEEL_HZ, velocity])
    valid = Intervals([0.0], [len(times) / _WHEEL_HZ])
    return Series(times, values, ("position", "velocity"), "rad, rad/s", valid)


def _whisker(
    table: pd.DataFrame,
    engaged: np.ndarray,
    wheel: Series,
    end: float,
    generator: np.random.Generator,
) -> Series:
    """Whiskers move with the wheel, when a grating appears, with licking and on their own."""
    times = np.arange(int(np.ceil(end * _WHISKER_HZ))) / _WHISKER_HZ
    speed = gaussian_filter1d(np.abs(wheel.values[:, 1]), 0.08 * _WHEEL_HZ)
    drive = 1.0 * np.interp(times, wheel.times, speed)
    drive += 0.2 * _at_trials(times, table, engaged)
    drive += 0.45 * smooth_noise(len(times), 1 / _WHISKER_HZ, 0.4, generator)
    for stim_on, feedback, reward in table[["stim_on", "feedback", "reward"]].to_numpy():
        part, since = _since(times, stim_on, stim_on + 0.6)
        drive[part] += 0.4 * np.exp(-since / 0.15)
        part, since = _since(times, feedback, feedback + 1.0)
        drive[part] += reward * 0.7 * np.sin(np.pi * since)
    energy = np.logaddexp(0, 2 * drive) / 2 + 0.3
    energy *= np.exp(0.08 * generator.standard_normal(len(times)))
    valid = Intervals([0.0], [len(times) / _WHISKER_HZ])
    return Series(times, energy, ("motion_energy",), "", valid)
