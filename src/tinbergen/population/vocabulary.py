"""What a model knows of its sessions: units, regions, classes, and what is normal for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from tinbergen.errors import DataError
from tinbergen.population.batch import BLOCK
from tinbergen.population.config import ModalityConfig
from tinbergen.population.sessions import Session
from tinbergen.population.wide import WIDEST, components, principal_axes

_NO_AXES: Mapping[str, np.ndarray] = MappingProxyType({})
_LEAST_SCALE = 1e-6
_LEAST_RATE = 1e-4
LEAST_MEAN = 0.05
"""Added to a mean count before its root is divided by, so that silent units stay quiet."""
BELIEF = 10.0
"""Spikes as foretold that are added to what is seen when rates are matched."""


@dataclass(frozen=True)
class KnownSession:
    """One session, as its training windows showed it.

    Attributes
    ----------
    name, subject
        Of the session.
    regions
        ``(unit,)`` names.
    rates
        ``(unit,)`` mean spikes/bin in training.
    roots
        ``(unit,)`` mean of ``sqrt(k + 3/8)`` in training.
    mean, scale
        Modality -> ``(width,)``: of a continuous one, in training. Channels of more than 128 have
        one scale in common.
    """

    name: str
    subject: str
    regions: tuple[str, ...]
    rates: tuple[float, ...]
    roots: tuple[float, ...]
    mean: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    scale: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def n_units(self) -> int:
        """Units of the session."""
        return len(self.rates)

    def normalised(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return values ``(..., width)`` of a continuous modality around 0, of spread 1.

        As they are, where training had none of them.
        """
        if name not in self.mean:
            return values
        dtype = np.result_type(values, np.float32)  # wide values are not made larger
        mean, scale = (np.array(each[name], dtype) for each in (self.mean, self.scale))
        return (values - mean) / scale


@dataclass(frozen=True)
class Vocabulary:
    """All sessions that a model can be asked about.

    Attributes
    ----------
    sessions
        In the order of the model's tables.
    n_bins
        Of a window.
    widths
        Modality -> channels that the model reads; for classes, how many there are.
    classes
        Categorical modality -> its classes.
    ancestors
        Session -> subject, of those that the core was trained on before it met these.
    axes
        Continuous modality of many channels -> ``(channel, component)`` float32: what the model
        reads of its normalised values, see :mod:`~tinbergen.population.wide`.
    """

    sessions: tuple[KnownSession, ...]
    n_bins: int
    widths: Mapping[str, int] = field(default_factory=dict)
    classes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    ancestors: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        sessions: Sequence[Session],
        train: Mapping[str, np.ndarray],
        modalities: Mapping[str, ModalityConfig],
    ) -> Self:
        """Learn a vocabulary from training windows.

        Parameters
        ----------
        train
            Session -> rows of its training windows.

        Raises
        ------
        DataError
            If sessions differ in bins or in the width of a modality, share a name, or have no
            training window; or if a modality is known nowhere.
        """
        bins = {s.counts.shape[1] for s in sessions}
        if len(bins) != 1:
            raise DataError(f"Sessions have windows of {sorted(bins)} bins; they must be alike.")
        empty = cls((), bins.pop(), *_learn_shapes(sessions, modalities))
        return empty.extended(sessions, train, modalities)._reduced(sessions, train, modalities)

    def _reduced(
        self,
        sessions: Sequence[Session],
        train: Mapping[str, np.ndarray],
        modalities: Mapping[str, ModalityConfig],
    ) -> Self:
        """Return it with the axes of modalities of many channels."""
        axes = {}
        for name, width in self.widths.items():
            if modalities[name].kind != "continuous" or width <= WIDEST:
                continue
            parts = []
            for known, session in zip(self.sessions, sessions, strict=True):
                if name in known.mean:
                    rows = session.values[name][train[session.name]].reshape(-1, width)
                    rows = known.normalised(name, rows)
                    parts.append(rows[np.isfinite(rows).all(axis=1)])
            if sum(map(len, parts)) < 2:
                raise DataError(
                    f"{name}: of its {width} channels components are made, but no two bins of the "
                    "training windows have them all. Leave out channels that are seldom known."
                )
            axes[name] = principal_axes(parts)
        widths = {name: each.shape[1] for name, each in axes.items()}
        return replace(self, widths={**self.widths, **widths}, axes=axes)

    def read(self, session: str, name: str, values: np.ndarray) -> np.ndarray:
        """Return what the model reads of values ``(..., channel)`` of a continuous modality."""
        normalised = self.sessions[self.number(session)].normalised(name, values)
        return components(normalised, self.axes[name]) if name in self.axes else normalised

    def channels(self, name: str) -> int:
        """Return how many channels the data of a modality have."""
        return len(self.axes[name]) if name in self.axes else self.widths[name]

    def extended(
        self,
        sessions: Sequence[Session],
        train: Mapping[str, np.ndarray],
        modalities: Mapping[str, ModalityConfig],
    ) -> Self:
        """Return the vocabulary with more sessions behind those that it has.

        Raises
        ------
        DataError
            If a session does not fit: other bins, another width of a modality, unknown classes.
        """
        known = {s.name for s in self.sessions}
        added = []
        for session in sessions:
            if session.name in known:
                raise DataError(f"Session {session.name!r} is there already; rename it.")
            known.add(session.name)
            if session.counts.shape[1] != self.n_bins:
                raise DataError(
                    f"Session {session.name!r}: expected windows of {self.n_bins} bins, found "
                    f"{session.counts.shape[1]}."
                )
            added.append(self._describe(session, np.asarray(train[session.name]), modalities))
        return replace(self, sessions=(*self.sessions, *added))

    def as_ancestors(self) -> Self:
        """Return a vocabulary without sessions, whose core has seen those of this one."""
        own = {s.name: s.subject for s in self.sessions}
        return replace(self, sessions=(), ancestors={**self.ancestors, **own})

    def _describe(
        self, session: Session, rows: np.ndarray, modalities: Mapping[str, ModalityConfig]
    ) -> KnownSession:
        if not len(rows):
            raise DataError(f"Session {session.name!r}: there is no window to train on.")
        mean, scale = {}, {}
        for name, modality in modalities.items():
            if name not in session.values:
                continue
            if modality.kind == "categorical":
                self._refuse_unknown(session, name)
                continue
            values = session.values[name][rows]
            values = values.reshape(-1, values.shape[-1])
            finite = np.isfinite(values)
            if not finite.any():
                continue
            if values.shape[1] != self.channels(name):
                raise DataError(
                    f"Session {session.name!r}, {name}: expected {self.channels(name)} channels, "
                    f"found {values.shape[1]}."
                )
            number = finite.sum(axis=0)
            centre = np.where(finite, values, 0).sum(axis=0) / np.maximum(number, 1)
            spread = np.where(finite, (values - centre) ** 2, 0).sum(axis=0)
            spread = np.sqrt(spread / np.maximum(number, 1))
            if len(spread) > WIDEST:  # what varies little stays small among its components
                spread[:] = np.sqrt(np.mean(spread**2))
            mean[name] = tuple(map(float, centre))
            scale[name] = tuple(map(float, np.where(spread > _LEAST_SCALE, spread, 1.0)))
        counts = session.counts[rows]
        rates = counts.mean(axis=(0, 1), dtype=np.float64)
        roots = np.sqrt(counts + 0.375).mean(axis=(0, 1))
        return KnownSession(
            session.name,
            session.subject,
            tuple(map(str, session.regions)),
            tuple(map(float, np.maximum(rates, _LEAST_RATE))),
            tuple(map(float, roots)),
            mean,
            scale,
        )

    def _refuse_unknown(self, session: Session, name: str) -> None:
        """Refuse classes that the model does not have: they would count as not known."""
        seen = {_plain(v) for v in np.ravel(session.values[name]) if v is not None}
        if unknown := sorted(map(str, seen - set(self.classes[name]))):
            raise DataError(
                f"Session {session.name!r}, {name}: expected classes "
                f"{', '.join(map(str, self.classes[name]))}, found {', '.join(unknown)}, which "
                "the model does not have. Leave these trials out, or train a model with them."
            )

    # --- numbers of things ----------------------------------------------------------------

    @property
    def first_block(self) -> np.ndarray:
        """``(session + 1,)`` int64: number of each session's first block, and of all blocks."""
        return np.cumsum([0, *(-(-s.n_units // BLOCK) for s in self.sessions)])

    @property
    def regions(self) -> tuple[str, ...]:
        """Names of all regions, sorted; a unit's region is a number in it."""
        return tuple(sorted({region for s in self.sessions for region in s.regions}))

    @property
    def region_numbers(self) -> np.ndarray:
        """``(block, unit)`` int64; 0 where no unit is."""
        number = {name: i for i, name in enumerate(self.regions)}
        return self.in_blocks([[number[r] for r in s.regions] for s in self.sessions], 0)

    @property
    def rates(self) -> np.ndarray:
        """``(block, unit)`` float64: mean spikes/bin in training; 1 where no unit is."""
        return self.in_blocks([s.rates for s in self.sessions], 1.0)

    @property
    def roots(self) -> np.ndarray:
        """``(block, unit)`` float64: mean of ``sqrt(k + 3/8)`` in training."""
        return self.in_blocks([s.roots for s in self.sessions], 1.0)

    def in_blocks(self, values: Sequence[Sequence], fill: Any) -> np.ndarray:
        """Lay a value a unit, session by session, into blocks ``(block, unit)``."""
        out = np.full((self.first_block[-1], BLOCK), fill)
        for first, each in zip(self.first_block, values, strict=False):
            out.reshape(-1)[first * BLOCK : first * BLOCK + len(each)] = each
        return out

    def number(self, name: str) -> int:
        """Return the number of a session.

        Raises
        ------
        DataError
            If it is not known.
        """
        names = [s.name for s in self.sessions]
        if name not in names:
            raise DataError(
                f"The model does not know session {name!r}; it knows {', '.join(names[:10])}. "
                "Adapt it to the session first."
            )
        return names.index(name)

    # --- on disk --------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without the axes."""
        return asdict(replace(self, axes={}))

    @classmethod
    def from_dict(
        cls, value: Mapping[str, Any], axes: Mapping[str, np.ndarray] = _NO_AXES
    ) -> Self:
        """Read what :meth:`to_dict` made."""
        sessions = tuple(
            KnownSession(
                s["name"],
                s["subject"],
                tuple(s["regions"]),
                tuple(s["rates"]),
                tuple(s["roots"]),
                {k: tuple(v) for k, v in s["mean"].items()},
                {k: tuple(v) for k, v in s["scale"].items()},
            )
            for s in value["sessions"]
        )
        classes = {name: tuple(each) for name, each in value["classes"].items()}
        ancestors = dict(value.get("ancestors", {}))
        widths = dict(value["widths"])
        return cls(sessions, value["n_bins"], widths, classes, ancestors, dict(axes))


def _learn_shapes(
    sessions: Iterable[Session], modalities: Mapping[str, ModalityConfig]
) -> tuple[dict[str, int], dict[str, tuple]]:
    """Return the width of each modality, and the classes of the categorical ones.

    Classes of all windows: that there is a class is no secret, and one that no training window
    has is simply never expected.
    """
    widths: dict[str, int] = {}
    classes: dict[str, tuple] = {}
    for name, modality in modalities.items():
        if modality.kind == "categorical":
            seen = {
                _plain(v)
                for s in sessions
                if name in s.values
                for v in np.ravel(s.values[name])
                if v is not None
            }
            if len(seen) < 2:
                raise DataError(f"{name}: expected at least 2 classes, found {seen}.")
            classes[name] = tuple(sorted(seen, key=lambda v: (str(type(v)), v)))
            widths[name] = len(seen)
            continue
        found = {
            s.values[name].shape[-1]
            for s in sessions
            if name in s.values and np.isfinite(s.values[name]).any()
        }
        if len(found) != 1:
            raise DataError(
                f"{name}: expected one number of channels in all sessions, found "
                f"{sorted(found) or 'no value in any'}."
            )
        widths[name] = found.pop()
    return widths, classes


def _plain(value: Any) -> Any:
    """Return a class as JSON has it: text, or a number that is whole where it can be."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, bool | int | float) else str(value)


def class_numbers(values: np.ndarray, classes: Sequence[Any]) -> np.ndarray:
    """Return the number of each class, int64 of the same shape; -1 where it is not known."""
    number = {each: i for i, each in enumerate(classes)}
    flat = [-1 if v is None else number.get(_plain(v), -1) for v in np.ravel(values)]
    return np.array(flat, dtype=np.int64).reshape(np.shape(values))
