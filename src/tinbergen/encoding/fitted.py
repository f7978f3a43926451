"""The model of one recording of a run: kept with all that is needed to predict on new data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from tinbergen.encoding.choices import model_class
from tinbergen.encoding.columns import Source
from tinbergen.encoding.features import features_on
from tinbergen.encoding.grid import Grid
from tinbergen.encoding.planning import plan, trials_with
from tinbergen.encoding.problem import Problem
from tinbergen.errors import ConfigError, DataError, MissingFileError, WeightsError
from tinbergen.files import safe_name, write_json
from tinbergen.recordings import Recording

SCHEMA_VERSION = 1
_INPUTS = "inputs.json"


@dataclass(frozen=True)
class FeatureSet:
    """A feature set as a model knows it.

    Attributes
    ----------
    selector
        What it was taken from; None where that was no selector.
    columns
        Their names.
    ranges
        ``(channel, 2)`` over which bumps were laid, or None.
    frames
        Whether its columns are components of frames or tokens, which were fitted within the run.
    """

    selector: str | None
    columns: tuple[str, ...]
    ranges: list[list[float]] | None = None
    frames: bool = False


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A model that was fitted on all of a recording, and what its inputs and outputs are.

    Attributes
    ----------
    model
        The estimator: :class:`~tinbergen.encoding.Ridge`, ...
    name
        What the study calls it: ``ridge``, ...
    recording
        The recording that it was fitted on.
    features
        Name -> :class:`FeatureSet`, in the order of the model's columns.
    kind, columns, classes
        Of the target, as in :class:`~tinbergen.encoding.columns.Columns`.
    cut
        ``width`` of the bins, and of windows ``align``, ``before`` and ``after``; s. Nothing where
        each trial is taken as a whole.
    per_trial
        Whether there is one prediction a trial.
    limits
        ``(2, unit)`` spikes/bin: the least and largest rate that a unit is predicted to have;
        None: no counts.
    """

    model: Any
    name: str
    recording: str
    features: Mapping[str, FeatureSet]
    kind: str
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    cut: Mapping[str, Any]
    per_trial: bool
    limits: np.ndarray | None

    @classmethod
    def of(
        cls,
        model: Any,
        name: str,
        problem: Problem,
        named: Mapping[str, Any],
        window: Mapping[str, Any],
        limits: np.ndarray | None,
    ) -> Self:
        """Keep a model beside what it was fitted on.

        Parameters
        ----------
        model, name
            The estimator, fitted on ``problem``, and its name.
        named
            Feature set -> what it was taken from.
        window
            ``align``, ``before``, ``after`` and ``bin`` as the study was given them.
        limits
            Of the rates.
        """
        sets = {}
        for key, columns in problem.features.sets.items():
            selector = os.fspath(named[key]) if isinstance(named[key], str | os.PathLike) else None
            ranges = None if columns.ranges is None else columns.ranges.tolist()
            sets[key] = FeatureSet(selector, columns.names, ranges, columns.project is not None)
        target = problem.target
        return cls(
            model, name, problem.recording, sets, target.kind, target.names, target.classes,
            _cut(problem, window), problem.per_trial, limits,
        )  # fmt: skip

    def predict(
        self, recording: Recording, features: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict on a recording, seen before or not; its target need not be known.

        Parameters
        ----------
        recording
            Has the streams that the features were taken from, with the same columns.
        features
            Name of a feature set -> what to take it from here, where that is another stream, a
            Series or another folder of embeddings.

        Returns
        -------
        DataFrame
            A row a bin (or trial) on which the features are known, a column a unit or channel:
            spikes/bin, values, or names of classes. Its index: ``start`` and ``stop`` (s), and
            ``trial`` (row in the recording's trials; -1 = none).

        Raises
        ------
        DataError
            If a stream is missing, or has other columns than the model was fitted on.
        ConfigError
            If it is not said what to take a feature set from, or it is made of frames.
        """
        grid, x = self._inputs(recording, self._named(features or {}))
        bins = grid.per_trial or 1
        if self.per_trial or bins == 1:
            segments = np.arange(len(x)) if self.per_trial else grid.segment
            values = np.asarray(self.model.predict(x, segments=segments))
        else:
            values = np.asarray(self.model.predict(x.reshape(-1, bins, x.shape[1])))
        values = values.reshape(len(x), -1)
        if self.limits is not None:
            values = np.clip(values, *self.limits)
        if self.kind == "classes":
            values = np.array(self.classes, dtype=object)[values.astype(int)]
        each = bins if self.per_trial else 1
        rows = [grid.starts[::each], grid.stops[each - 1 :: each], grid.trial[::each]]
        index = pd.MultiIndex.from_arrays(rows, names=["start", "stop", "trial"])
        return pd.DataFrame(values, index=index, columns=list(self.columns))

    def save(self, folder: str | os.PathLike) -> None:
        """Write the estimator, and ``inputs.json`` beside it, into ``folder``."""
        self.model.save(folder)
        record = {name: value for name, value in vars(self).items() if name != "model"}
        record["features"] = {name: asdict(each) for name, each in self.features.items()}
        record["limits"] = None if self.limits is None else self.limits.tolist()
        write_json(Path(folder) / _INPUTS, {"schema_version": SCHEMA_VERSION, **record})

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        MissingFileError, WeightsError
            If there is none, or it is damaged.
        """
        path = Path(folder) / _INPUTS
        if not path.is_file():
            raise MissingFileError(f"Expected the model of a run in {folder}, found no {_INPUTS}.")
        try:
            record = json.loads(path.read_text("utf-8"))
            version = record.pop("schema_version")
            if version != SCHEMA_VERSION:
                raise WeightsError(
                    f"{path} has version {version}, this Tinbergen reads {SCHEMA_VERSION}."
                )
            for name in ("columns", "classes"):
                record[name] = tuple(record[name])
            record["features"] = {
                name: FeatureSet(**{**each, "columns": tuple(each["columns"])})
                for name, each in record["features"].items()
            }
            record["limits"] = None if record["limits"] is None else np.array(record["limits"])
            return cls(model_class(record["name"]).load(folder), **record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"{path} does not describe a model: {error!r}") from error

    def _named(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return feature set -> what to take it from."""
        if unknown := sorted(set(given) - set(self.features)):
            raise ConfigError(
                f"features: the model has no set {unknown[0]!r}; there is "
                f"{', '.join(self.features)}."
            )
        named = {name: given.get(name, each.selector) for name, each in self.features.items()}
        for name, wanted in named.items():
            if wanted is None:
                raise ConfigError(
                    f"The features {name!r} were given as arrays, not by a selector: say what "
                    f"they are here, predict(recording, features={{{name!r}: ...}})."
                )
            if self.features[name].frames:
                raise ConfigError(
                    f"The features {name!r} are components of frames or of tokens, which are not "
                    "kept; cls tokens alone, or video:motion, can be had of new videos."
                )
        return named

    def _inputs(self, recording: Recording, named: Mapping[str, Any]) -> tuple[Grid, np.ndarray]:
        """Return the bins on which all features are known, and ``(item, column)`` of them."""
        align = self.cut.get("align", "start")
        trials = trials_with(recording, align) if self.per_trial else None
        goal = Source("target", self.kind, None, _unasked, trials=trials)
        ranges = {n: None if s.ranges is None else np.array(s.ranges)
                  for n, s in self.features.items()}  # fmt: skip
        planned = plan(recording, named, goal, ranges=ranges, **self.cut)
        features = features_on(planned.features, planned.grid)
        for name, each in self.features.items():
            _check_columns(recording, name, each.columns, features.sets[name].names)
        bins = planned.grid.per_trial or 1
        kept = np.repeat(features.known.reshape(-1, bins).all(axis=1), bins)
        if not kept.any():
            raise DataError(
                f"Recording {recording.name!r}: no bin is left in which {', '.join(named)} are "
                "all known."
            )
        items = int(kept.sum()) // (bins if self.per_trial else 1)
        parts = [np.asarray(c.values[kept], np.float64) for c in features.sets.values()]
        x = np.concatenate([part.reshape(items, -1) for part in parts], axis=1)
        return planned.grid.take(kept), x


def open_model(run: str | os.PathLike, recording: str) -> FittedModel:
    """Load the model of one recording of a run of ``encode`` or ``decode``.

    It was fitted on all of the recording, after the folds had been scored; so its score is that of
    the run, or a little better, on data that it has not seen, and means nothing on those it has.

    Parameters
    ----------
    run
        The run folder.
    recording
        Its name.

    Raises
    ------
    MissingFileError, WeightsError
        If there is none, or it is damaged.

    Examples
    --------
    >>> model = open_model("runs/encoding", "monday")  # doctest: +SKIP
    >>> model.predict(data["tuesday"])  # (bin, unit), spikes/bin  # doctest: +SKIP
    """
    folders = sorted(path.parent for path in (Path(run) / "models").glob(f"*/{_INPUTS}"))
    own = [each for each in folders if each.name == safe_name(recording)]
    names = []
    for folder in [*own, *folders]:  # names that are one as a file have a number behind them
        fitted = json.loads((folder / _INPUTS).read_text("utf-8")).get("recording")
        if fitted == recording:
            return FittedModel.load(folder)
        names.append(str(fitted))
    raise MissingFileError(
        f"{run} holds no model of {recording!r}; it has those of: "
        f"{', '.join(dict.fromkeys(names)) or 'none'}. Runs of encode and decode have one a "
        "recording, but not those with the models 'mean' and 'psth'."
    )


def _cut(problem: Problem, window: Mapping[str, Any]) -> dict[str, Any]:
    """Return how to cut another recording alike: as this one was, not as its default would be."""
    grid = problem.grid
    if grid.per_trial is None:
        return {"width": grid.width}
    if problem.per_trial and all(value is None for value in window.values()):
        return {}
    before = window["before"] or 0.0
    after = grid.per_trial * grid.width - before
    align = window["align"] or "start"
    return {"width": grid.width, "align": align, "before": before, "after": after}


def _check_columns(
    recording: Recording, name: str, expected: tuple[str, ...], found: tuple[str, ...]
) -> None:
    if found == expected:
        return
    missing = [column for column in expected if column not in found]
    what = f"{missing[0]!r} is missing" if missing else f"there are {len(found)}: {found[:4]}"
    raise DataError(
        f"Recording {recording.name!r}, features {name!r}: expected the {len(expected)} columns "
        f"that the model was fitted on, but {what}. A model of some neurons is for those neurons."
    )


def _unasked(grid: Grid) -> Any:
    raise NotImplementedError("the target of a prediction is never read")
