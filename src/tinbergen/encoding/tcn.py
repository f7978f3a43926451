"""Temporal convolutional networks from features to spikes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import nn

from tinbergen.encoding.design import Scale
from tinbergen.encoding.heldout import FLOOR, HeldOutScore
from tinbergen.encoding.inputs import Kind, Rows, Table, is_vector, like_target, need_held_out
from tinbergen.encoding.sessions import kind_of, listed, one_of, session_arrays, tables_of
from tinbergen.encoding.tcn_networks import FacemapNet, SeparableNet, weights_of_session
from tinbergen.encoding.tcn_session import PRESETS, Preset, TCNSession
from tinbergen.encoding.tcn_training import (
    Sequences,
    SessionBatches,
    SessionData,
    TCNTask,
    forward,
)
from tinbergen.errors import ConfigError, DataError
from tinbergen.recordings import smooth
from tinbergen.saving import Saved
from tinbergen.training import FitResult, TrainConfig, fit

_LATENTS = 24
_BATCH = 32
_LEAST_BATCHES = 7  # an epoch, as far as there are sequences
_LEAST_STEPS = 200
_VALIDATIONS = 10
_PATIENCE = 3
_ONWARD = 0.25  # share of the steps, and of the learning rate, of what follows on all rows
_SMOOTH = 2.0  # bins
_ROUGHNESS = 0.5
_LOG_RATES = (-12.0, 6.0)

_Found = tuple[Sequences, np.ndarray, np.ndarray]  # of a session, its inputs and targets
Device = Literal["auto", "cpu", "cuda", "mps"]


class TCN(Saved):
    """Temporal convolutional network, trained by gradient descent.

    Parameters
    ----------
    preset
        ``"tinbergen"``: features reduced to 32 components, a few latents for all units, and for
        each unit its own weights and filter over time; Poisson likelihood; trained as long as the
        validation rows gain, then on all rows for a quarter of that. ``"facemap"``: the network
        of Facemap as the papers use it, on all features: squared error of the smoothed, z-scored
        counts, a fixed number of epochs (annealed by a cosine, not in two steps).
    components
        Principal components of the features; 0 = all features, standardised; None = the preset's.
    filter_length
        Of the temporal filters, bins, odd; None = the preset's: 201 for ``"facemap"``, and for
        ``"tinbergen"`` a fifth of a segment, 5 to 21.
    filters
        ``"tinbergen"``: filters a unit has, each with its own weights of the latents.
    epochs, learning_rate
        None = the preset's.
    seed
        Of the start and the order: the same seed gives the same network on a CPU.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"``, or ``"auto"``, for the training.
    target
        ``"auto"``: counts if all targets are whole numbers >= 0.
    groups
        Of the features, see :class:`~tinbergen.encoding.design.FeatureMap`.
    scale
        Of the features, as for :class:`~tinbergen.encoding.ridge.Ridge`.

    Attributes
    ----------
    network_
        The network, on the CPU.
    sessions_
        A :class:`TCNSession` each.
    kind_
        ``"counts"`` or ``"continuous"``.
    steps_
        Of the last training, on all rows.
    score_
        Best on the validation rows, mean over units: bits/spike for counts (null: their mean), R2
        otherwise; None for ``"facemap"``.
    n_left_out_
        Rows with NaN.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(20, 50, 3))
    >>> y = rng.poisson(np.exp(0.5 * x[..., :1] - 1))
    >>> TCN(epochs=2).fit(x, y).predict(x).shape
    (20, 50, 1)
    """

    network_: nn.Module
    sessions_: list[TCNSession]
    kind_: Kind
    _parts: ClassVar[Mapping[str, type[Saved]]] = {"sessions_": TCNSession}

    def __init__(
        self,
        preset: Literal["tinbergen", "facemap"] = "tinbergen",
        *,
        components: int | None = None,
        filter_length: int | None = None,
        filters: int = 1,
        epochs: int | None = None,
        learning_rate: float | None = None,
        seed: int = 0,
        device: Device = "cpu",
        target: Literal["auto", "counts", "continuous"] = "auto",
        groups: Sequence[int] | None = None,
        scale: Scale = "each",
    ):
        self.preset = preset
        self.components = components
        self.filter_length = filter_length
        self.filters = filters
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.seed = seed
        self.device: Device = device
        self.target = target
        self.groups = groups
        self.scale: Scale = scale

    def fit(self, X: Any, Y: Any, *, segments: Any = None, validate: Any = None) -> Self:
        """Fit one session, or several that share the network's middle.

        Parameters
        ----------
        X, Y, segments, validate
            As in every model; lists of arrays for several sessions.

        Raises
        ------
        DataError
            If arrays do not fit, or no rows are left to choose on.
        """
        preset = self._resolved()
        tables = tables_of(X, Y, segments, validate)
        if preset.early_stop:
            for table in tables:
                need_held_out(table, "the number of steps")
        self.several_ = isinstance(X, list | tuple)
        self.kind_ = kind_of(self.target, tables)
        self.n_left_out_ = sum(table.n_left_out for table in tables)
        self.taps_ = preset.filter_length or _taps(tables)
        self.sessions_ = [
            TCNSession.of(table, preset.components, self.groups, self.scale) for table in tables
        ]
        for session, table, y in zip(self.sessions_, tables, listed(Y), strict=True):
            session.vector_ = is_vector(y, table.rows)
        inputs = [
            session.features_.transform(table.rows.x)[0].astype(np.float32)
            for session, table in zip(self.sessions_, tables, strict=True)
        ]
        targets = [self._targets(s, t) for s, t in zip(self.sessions_, tables, strict=True)]
        sequences = [Sequences.of(table.rows.segments, self.taps_ // 2) for table in tables]
        everything = list(zip(sequences, inputs, targets, strict=True))
        parts = [
            SessionData.of(*found, table.known)
            for found, table in zip(everything, tables, strict=True)
        ]
        self.score_ = None
        if not preset.early_stop:
            result = self._train(parts, preset)
        else:
            result = self._chosen(tables, everything, preset)
            self.score_ = result.best_score
            result = self._train(parts, preset, onward=result)
        self.network_, self.steps_ = result.model, result.step
        return self

    def _chosen(self, tables: list[Table], everything: list[_Found], preset: Preset) -> FitResult:
        """Train on the rows that are not held out, as long as that helps those that are."""
        parts = [
            SessionData.of(*found, table.train)
            for found, table in zip(everything, tables, strict=True)
        ]
        return self._train(parts, preset, validation=self._validation(tables, everything))

    def only(self, session: int) -> Self:
        """Return the model of one of several sessions alone: its own layers, and the shared ones.

        Raises
        ------
        DataError
            If there is no such session.
        """
        self._check_fitted()
        own = one_of(session, len(self.sessions_))
        model = type(self)(**self.parameters)
        vars(model).update(self._fitted)
        model.several_, model.sessions_ = False, self.sessions_[own]
        model.network_ = model._network().eval()
        model.network_.load_state_dict(weights_of_session(self.network_, session))
        return model

    def predict(self, X: Any, *, segments: Any = None, session: int | None = None) -> Any:
        """Predict rates (spikes/bin) or continuous targets.

        Parameters
        ----------
        X, segments
            As in :meth:`fit`; a list has an array for every session.
        session
            Which session an array belongs to, where several were fitted.

        Returns
        -------
        Like Y, float32; NaN where a feature is, and for units of which nothing was known.
        """
        self._check_fitted()
        arrays = session_arrays(X, segments, session, len(self.sessions_), self.several_)
        predicted = [self._predict(*parts) for parts in arrays]
        return predicted if isinstance(X, list | tuple) else predicted[0]

    def _predict(self, X: Any, segments: Any, index: int) -> np.ndarray:
        session = self.sessions_[index]
        rows = Rows.of(X, segments)
        x, known = session.features_.transform(rows.x)
        sequences = Sequences.of(rows.segments, self.taps_ // 2)
        out = forward(self.network_, sequences, x.astype(np.float32), index)
        full = np.full((len(rows.x), len(session.units_)), np.nan, np.float32)
        full[:, session.units_] = self._rates(out, session)
        full[~known] = np.nan
        return like_target(full, rows.shape, session.vector_)

    def _resolved(self) -> Preset:
        """Return the preset with what was chosen otherwise."""
        if self.preset not in PRESETS:
            raise ConfigError(f"preset: expected one of {list(PRESETS)}, found {self.preset!r}.")
        preset = dict(vars(PRESETS[self.preset]))
        chosen = {name: getattr(self, name) for name in ("filter_length", "epochs")}
        chosen |= {"learning_rate": self.learning_rate, "components": self.components}
        preset |= {name: value for name, value in chosen.items() if value is not None}
        preset["components"] = preset["components"] or None
        length = preset["filter_length"]
        if length is not None and (length < 1 or length % 2 == 0):
            raise ConfigError(f"filter_length: expected an odd number of bins, found {length}.")
        if self.filters < 1 or preset["epochs"] < 1:
            raise ConfigError(
                f"Expected filters and epochs >= 1, found {self.filters} and {preset['epochs']}."
            )
        return Preset(**preset)

    @property
    def _poisson(self) -> bool:
        return self.kind_ == "counts" and PRESETS[self.preset].poisson

    def _targets(self, session: TCNSession, table: Table) -> np.ndarray:
        """Return counts, or (smoothed) targets that are z-scored; 0 where they are not known."""
        y = np.where(table.known[:, None], table.y[:, table.units], np.nan)
        if not self._poisson:
            if self.kind_ == "counts":
                y = smooth(y, _SMOOTH, table.rows.segments)
            deviation = y[table.known].std(axis=0)
            session.scale_ = np.where(deviation > 0, deviation, 1.0)
            y = (y - session.mean_) / session.scale_
        return np.nan_to_num(y).astype(np.float32)

    def _network(self) -> nn.Module:
        columns = [session.features_.n_columns for session in self.sessions_]
        units = [int(session.units_.sum()) for session in self.sessions_]
        if self.preset == "facemap":
            if len(set(columns)) > 1:
                raise DataError(
                    f"The Facemap network is one for all sessions: expected the same features in "
                    f"each, found {columns}. Choose `components`, or the preset 'tinbergen'."
                )
            return FacemapNet(columns[0], units, self.taps_)
        network = SeparableNet(columns, units, _LATENTS, self.filters, self.taps_)
        if self._poisson:
            with torch.no_grad():
                for bias, session in zip(network.biases, self.sessions_, strict=True):
                    bias.copy_(torch.from_numpy(np.log(np.maximum(session.mean_, FLOOR))))
        return network

    def _batches(self, parts: list[SessionData]) -> SessionBatches:
        sizes = [len(part.x) for part in parts]
        size = min(_BATCH, max(1, sum(sizes) // _LEAST_BATCHES))
        return SessionBatches(sizes, size, self.seed)

    def _train(
        self,
        parts: list[SessionData],
        preset: Preset,
        *,
        validation: Callable[[nn.Module], float] | None = None,
        onward: FitResult | None = None,
    ) -> FitResult:
        """Train a new network, or one that was trained, for a part of its steps."""
        batches = self._batches(parts)
        least = _LEAST_STEPS if self.epochs is None else 1
        steps = max(preset.epochs * batches.per_epoch, least)
        learning_rate = preset.learning_rate
        if onward is not None:
            steps = max(1, round((onward.best_step or onward.step) * _ONWARD))
            learning_rate *= _ONWARD
        facemap = self.preset == "facemap"
        config = TrainConfig(
            steps=steps,
            learning_rate=learning_rate,
            weight_decay=preset.weight_decay,
            decay_all=facemap,
            betas=(0.9, 0.999) if facemap else (0.9, 0.95),
            warmup=0.0 if facemap else 0.1,
            grad_clip=0.0 if facemap else 1.0,
            precision="fp32",
            device=self.device,
            seed=self.seed,
            workers=0,
            validate_every=-(-steps // _VALIDATIONS),
            patience=_PATIENCE if validation is not None else 0,
        )
        task = TCNTask(
            self._network if onward is None else lambda: onward.model,
            parts,
            batches,
            poisson=self._poisson,
            roughness=_ROUGHNESS if facemap else 0.0,
            validation=validation,
        )
        return fit(task, config)

    def _validation(
        self, tables: list[Table], everything: list[_Found]
    ) -> Callable[[nn.Module], float]:
        """Return what scores a network on the held-out rows: mean over sessions."""
        scores, places = [], []
        for table, (sequences, _, _) in zip(tables, everything, strict=True):
            scores.append(HeldOutScore(table.y[table.held][:, table.units], self.kind_))
            some = (sequences.take(table.held) & sequences.own).any(axis=1)
            places.append(Sequences(sequences.rows[some], sequences.own[some]))

        def score(network: nn.Module) -> float:
            values = []
            for i, (table, place) in enumerate(zip(tables, places, strict=True)):
                out = forward(network, place, everything[i][1], i)[table.held]
                values.append(scores[i](self._rates(out, self.sessions_[i])))
            return float(np.mean(values))

        return score

    def _rates(self, out: np.ndarray, session: TCNSession) -> np.ndarray:
        if self._poisson:
            return np.exp(np.clip(out, *_LOG_RATES))
        rates = out * session.scale_ + session.mean_
        return np.maximum(rates, FLOOR) if self.kind_ == "counts" else rates

    def _state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays, fitted = super()._state()
        weights = fitted.pop("network_").state_dict()
        return arrays | {f"network_.{k}": v.numpy() for k, v in weights.items()}, fitted

    @classmethod
    def _restored(
        cls, parameters: Mapping[str, Any], arrays: Mapping[str, Any], fitted: Mapping[str, Any]
    ) -> Self:
        model = super()._restored(parameters, arrays, fitted)
        model.network_ = model._network().eval()
        prefix = "network_."
        model.network_.load_state_dict(
            {
                name.removeprefix(prefix): torch.from_numpy(value)
                for name, value in arrays.items()
                if name.startswith(prefix)
            }
        )
        return model


def _taps(tables: list[Table]) -> int:
    """Return an odd filter length: a fifth of the median segment, 5 to 21 bins."""
    lengths = np.concatenate([np.bincount(table.rows.segments) for table in tables])
    return int(np.clip(int(np.median(lengths)) // 10 * 2 + 1, 5, 21))
