"""What models of hidden states share: states and classes, expectation maximisation, the chain."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from scipy.special import xlogy
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from tinbergen.actions.scaling import Scaler
from tinbergen.actions.segmenter import (
    UNLABELLED,
    Arrays,
    HeldOut,
    Segmenter,
    check_channels,
    checked_sequences,
)
from tinbergen.errors import ConfigError, DataError
from tinbergen.metrics import contingency, match_states
from tinbergen.saving import Saved

Labels = Literal["clamp", "one to one", "majority"]
LABELS: tuple[Labels, ...] = ("clamp", "one to one", "majority")

_CLUSTERED = 20_000  # frames that k-means looks at
_STRETCH = 1000  # frames; a border costs a transition, and stretches are worked on side by side


class Expected(NamedTuple):
    """What an expectation step finds.

    ``states``: ``(time, state)`` of each sequence; ``pairs`` ``(state, state)``; ``bound``:
    log-likelihood or a lower bound of it, nats; ``rest``: what else the maximisation needs.
    """

    states: list[np.ndarray]
    pairs: np.ndarray
    bound: float
    rest: Any = None


class _Fitted(Segmenter):
    """Fitted attributes, which are no parameters."""

    scaler_: Scaler
    components_: np.ndarray
    state_classes_: np.ndarray
    initial_: np.ndarray
    transitions_: np.ndarray
    objectives_: np.ndarray
    needs_labels: ClassVar[bool] = False
    _parts: ClassVar[dict[str, type[Saved]]] = {"scaler_": Scaler}


@dataclass(eq=False, repr=False)
class StateSegmenter(_Fitted):
    """A segmenter whose hidden states follow a Markov chain, fitted by expectation maximisation.

    Without any label, ``classes_`` are the states themselves. With labels, ``labels`` says what
    they are for. It is fitted on stretches of at most 1000 frames, and infers whole sequences. A
    subclass says how in :meth:`_start`, :meth:`_expect` and :meth:`_maximise`.

    Attributes
    ----------
    state_classes_
        ``(state,)`` int: the class that a state stands for, -1 = none.
    initial_, transitions_
        ``(state,)`` and ``(state, state)`` probabilities, from row to column.
    objectives_
        ``(iteration,)``, nats, never falling: log-likelihood (or its bound) plus log-prior.
    """

    n_states: int = 16
    _: KW_ONLY
    labels: Labels = "clamp"
    n_components: int | None = None
    stickiness: float = 0.0
    prior_frames: float = 1.0
    n_init: int = 1
    max_iterations: int = 100
    tolerance: float = 1e-3
    random_state: int = 0

    def state_proba(self, features: Sequence[Any]) -> list[np.ndarray]:
        """Return the probability of each state in each frame, ``(time, state)`` of each."""
        return self._expected(features).states

    def log_likelihood(self, features: Sequence[Any]) -> float:
        """Return the log-likelihood (SLDS: its lower bound) of the scaled features, nats."""
        return self._expected(features).bound

    def _expected(self, features: Sequence[Any]) -> Expected:
        self._check_fitted()
        x = checked_sequences(features)[0]
        check_channels(x, self.n_features_)
        x = self._projected(x)
        return self._expect(x, _no_labels(x, self.n_states))

    # --- what a subclass says ---------------------------------------------------------------

    @abstractmethod
    def _start(
        self, x: list[np.ndarray], states: list[np.ndarray], allowed: list[np.ndarray]
    ) -> Expected | None:
        """Set parameters from states that were guessed; what it returns goes to `_expect`."""

    @abstractmethod
    def _expect(
        self, x: list[np.ndarray], allowed: list[np.ndarray], before: Expected | None = None
    ) -> Expected:
        """Infer states; ``allowed`` ``(time, state)`` is 0, or -inf where labels forbid one.

        Inference that goes on from an earlier one is given it as ``before``.
        """

    @abstractmethod
    def _maximise(self, x: list[np.ndarray], found: Expected) -> None:
        """Set the parameters of the observations."""

    @abstractmethod
    def _log_prior(self) -> float:
        """Return the log-prior of these parameters, up to a constant."""

    # --- fitting ----------------------------------------------------------------------------

    def _fit(self, features: Arrays, codes: Arrays, validation: HeldOut) -> None:
        labelled = any((each != UNLABELLED).any() for each in codes)
        if not labelled:
            self.classes_ = tuple(f"state {k}" for k in range(self.n_states))
            self.absent_ = ()
        how = self.labels
        clamped = labelled and how == "clamp"
        present = np.array([i for i, c in enumerate(self.classes_) if c not in self.absent_])
        if clamped and self.n_states < len(present):
            raise ConfigError(
                f"n_states: expected at least one for each of the {len(present)} classes, "
                f"found {self.n_states}."
            )
        x = _stretches(self._fit_projection(features))
        codes = _stretches(codes)
        owner = present[np.arange(self.n_states) % len(present)]
        free = _no_labels(x, self.n_states)
        allowed = [_allowed(each, owner) for each in codes] if clamped else free
        kept: dict[str, Any] = {}
        for seed in np.random.SeedSequence(self.random_state).spawn(self.n_init):
            self._run(x, allowed, int(seed.generate_state(1)[0]))
            if not kept or self.objectives_[-1] > kept["objectives_"][-1]:
                kept = dict(self._fitted)
        vars(self).update(kept)
        self.state_classes_ = owner
        if labelled and how != "clamp":
            states = [each.argmax(axis=1) for each in self._expect(x, free).states]
            table = contingency(states, codes, self.n_states, len(self.classes_))
            self.state_classes_ = match_states(table, how)

    def _run(self, x: list[np.ndarray], allowed: list[np.ndarray], seed: int) -> None:
        """One run of expectation maximisation from states that k-means guesses."""
        guess = _guessed_states(x, allowed, seed)
        n = self.n_states
        self._set_chain(guess, sum((each[:-1].T @ each[1:] for each in guess), np.zeros((n, n))))
        found = self._start(x, guess, allowed)
        frames = sum(map(len, x))
        history: list[float] = []
        for _ in range(self.max_iterations):
            found = self._expect(x, allowed, found)
            history.append(found.bound + self._log_prior() + self._log_chain_prior())
            if len(history) > 1 and history[-1] - history[-2] < self.tolerance * frames:
                break
            self._set_chain(found.states, found.pairs)
            self._maximise(x, found)
        self.objectives_ = np.array(history)

    def _set_chain(self, states: list[np.ndarray], pairs: np.ndarray) -> None:
        first = np.sum([each[0] for each in states], axis=0) + 1.0
        self.initial_ = first / first.sum()
        pairs = pairs + self._imagined_pairs()
        self.transitions_ = pairs / pairs.sum(axis=1, keepdims=True)

    def _imagined_pairs(self) -> np.ndarray:
        """Return the transitions of the prior: one from each state, and those that stay."""
        n = self.n_states
        return np.full((n, n), 1.0 / n) + np.eye(n) * self.stickiness

    def _log_chain_prior(self) -> float:
        moves = xlogy(self._imagined_pairs(), self.transitions_).sum()
        return float(moves + np.log(self.initial_).sum())

    def check_parameters(self) -> None:
        """See that the parameters of the constructor are of use; see :class:`Segmenter`."""
        super().check_parameters()
        if self.labels not in LABELS:
            raise ConfigError(f"labels: expected one of {LABELS}, found {self.labels!r}.")
        for name, least in (("n_states", 1), ("n_init", 1), ("max_iterations", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"{name}: expected at least {least}, found {getattr(self, name)}."
                )
        if self.stickiness < 0 or self.prior_frames <= 0:
            raise ConfigError(
                "Expected stickiness >= 0 and prior_frames > 0 frames, found "
                f"{self.stickiness} and {self.prior_frames}."
            )

    # --- features and classes ---------------------------------------------------------------

    def _fit_projection(self, features: list[np.ndarray]) -> list[np.ndarray]:
        self.scaler_ = Scaler().fit(features)
        scaled = self.scaler_.transform(features)
        self.components_ = np.eye(self.n_features_)
        if self.n_components is not None:
            frames = np.concatenate(scaled).astype(np.float64)
            most = min(frames.shape)
            if not 1 <= self.n_components <= most:
                raise DataError(
                    f"n_components: expected 1 to {most} for these features, found "
                    f"{self.n_components}."
                )
            pca = PCA(self.n_components, svd_solver="full").fit(frames)
            self.components_ = np.asarray(pca.components_)
        return self._projected(features)

    def _projected(self, features: list[np.ndarray]) -> list[np.ndarray]:
        scaled = self.scaler_.transform(features)
        return [x.astype(np.float64) @ self.components_.T for x in scaled]

    def _probabilities(self, features: list[np.ndarray]) -> list[np.ndarray]:
        x = self._projected(features)
        states = self._expect(x, _no_labels(x, self.n_states)).states
        stands_for = np.zeros((self.n_states, len(self.classes_)))
        known = self.state_classes_ != UNLABELLED
        stands_for[known, self.state_classes_[known]] = 1.0
        found = [each @ stands_for for each in states]
        # Frames that belong wholly to states of no class may be anything.
        found = [each + 1e-12 for each in found]
        return [each / each.sum(axis=1, keepdims=True) for each in found]


def _stretches(sequences: list[np.ndarray]) -> list[np.ndarray]:
    """Cut sequences into stretches of at most ``_STRETCH`` frames, as even as can be."""
    return [
        piece
        for each in sequences
        for piece in np.array_split(each, max(-(-len(each) // _STRETCH), 1))
    ]


def _no_labels(x: list[np.ndarray], n_states: int) -> list[np.ndarray]:
    return [np.zeros((len(each), n_states)) for each in x]


def _allowed(codes: np.ndarray, owner: np.ndarray) -> np.ndarray:
    forbidden = (codes[:, None] != owner) & (codes[:, None] != UNLABELLED)
    return np.where(forbidden, -np.inf, 0.0)


def _guessed_states(x: list[np.ndarray], allowed: list[np.ndarray], seed: int) -> list[np.ndarray]:
    """Return one-hot states ``(time, state)``: of each frame the nearest centre it may have."""
    frames, may = np.concatenate(x), np.isfinite(np.concatenate(allowed))
    rng = np.random.default_rng(seed)
    centres = np.empty((may.shape[1], frames.shape[1]))
    labelled = ~may.all(axis=1)
    # The states of a class share its labelled frames out among them.
    groups: dict[bytes, list[int]] = {}
    for k in range(may.shape[1]):
        groups.setdefault((may[:, k] & labelled).tobytes(), []).append(k)
    for states in groups.values():
        own = np.flatnonzero(may[:, states[0]] & labelled)
        if len(own) < len(states):
            own = np.arange(len(frames))
        some = rng.permutation(own)[:_CLUSTERED]
        if len(some) < len(states):
            raise DataError(f"{len(frames)} frames are too few for {may.shape[1]} states.")
        kmeans = KMeans(len(states), n_init=1, random_state=seed % 2**31)  # type: ignore[arg-type]
        fitted = kmeans.fit(frames[some])
        centres[states] = fitted.cluster_centers_
    distance = np.square(centres).sum(axis=1) - 2 * frames @ centres.T
    nearest = np.where(may, distance, np.inf).argmin(axis=1)
    ends = np.cumsum([len(each) for each in x])[:-1]
    return np.split(np.eye(len(centres))[nearest], ends)
