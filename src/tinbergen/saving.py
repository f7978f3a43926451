"""Fitted models on the disk: arrays as safetensors, everything else as JSON, nothing pickled."""

from __future__ import annotations

import inspect
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import safetensors
import safetensors.numpy

from tinbergen.errors import MissingFileError, NotFittedError, WeightsError
from tinbergen.files import atomic_write, content_hash, ensure_output_folder, write_json

SCHEMA_VERSION = 1
_WEIGHTS, _MODEL = "weights.safetensors", "model.json"


def write_model(
    folder: str | os.PathLike,
    kind: str,
    parameters: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    fitted: Mapping[str, Any],
) -> None:
    """Write a model as a folder of ``weights.safetensors`` and ``model.json``.

    Parameters
    ----------
    kind
        Name of the model's class; :func:`read_model` asks for the same.
    parameters
        Of the constructor: numbers, text, None, lists and arrays of these.
    arrays
        Numeric arrays, kept bit for bit.
    fitted
        Other fitted values, of the types of ``parameters``.
    """
    folder = ensure_output_folder(folder)
    whole = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    with atomic_write(folder / _WEIGHTS, "wb") as file:
        file.write(safetensors.numpy.save(whole))
    # The hash tells a folder in which only one of the two files was replaced.
    record = {
        "schema_version": SCHEMA_VERSION,
        "model": kind,
        "parameters": {name: _encode(value) for name, value in parameters.items()},
        "fitted": {name: _encode(value) for name, value in fitted.items()},
        "weights_sha256": content_hash(folder / _WEIGHTS),
    }
    write_json(folder / _MODEL, record)


def read_model(
    folder: str | os.PathLike, kind: str
) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    """Read parameters, arrays and other fitted values of a model of class ``kind``.

    Raises
    ------
    MissingFileError
        If the folder holds no model.
    WeightsError
        If it holds another class of model, or a damaged one.
    """
    folder = Path(folder)
    for name in (_MODEL, _WEIGHTS):
        if not (folder / name).is_file():
            raise MissingFileError(
                f"Expected a saved {kind} in {folder}, found no {name} there. Give the folder "
                "that save() was given."
            )
    try:
        record = json.loads((folder / _MODEL).read_text("utf-8"))
        found, version = record["model"], record["schema_version"]
        parameters, fitted = record["parameters"], record["fitted"]
        expected_hash = record["weights_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder / _MODEL} is not a model's description: {error!r}") from error
    if found != kind:
        raise WeightsError(f"{folder} holds a {found}, not a {kind}; use {found}.load.")
    if version != SCHEMA_VERSION:
        raise WeightsError(
            f"{folder / _MODEL} has version {version}, this Tinbergen reads {SCHEMA_VERSION}."
        )
    if content_hash(folder / _WEIGHTS) != expected_hash:
        raise WeightsError(
            f"{folder / _WEIGHTS} is not the file that {_MODEL} describes: it was damaged, or "
            "saving was interrupted. Save the model again."
        )
    try:
        arrays = safetensors.numpy.load_file(folder / _WEIGHTS)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            f"{folder / _WEIGHTS} is not a whole safetensors file: {error}"
        ) from error
    return (
        {name: _decode(value) for name, value in parameters.items()},
        arrays,
        {name: _decode(value) for name, value in fitted.items()},
    )


class Saved:
    """A model that can be saved: constructor parameters, and fitted attributes ending in ``_``.

    Fitted attributes are arrays, plain values, or the parts (or lists of them) that ``_parts``
    names.
    """

    _parts: ClassVar[Mapping[str, type[Saved]]] = {}

    @property
    def parameters(self) -> dict[str, Any]:
        """What the constructor was given."""
        if type(self).__init__ is object.__init__:
            return {}
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"{type(self).__name__}({given})"

    @property
    def _fitted(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k.endswith("_") and k[0] != "_"}

    def _check_fitted(self) -> None:
        if not self._fitted:
            raise NotFittedError(f"This {type(self).__name__} is not fitted yet; call fit first.")

    def save(self, folder: str | os.PathLike) -> None:
        """Write the fitted model into ``folder``; :meth:`load` gives the same model back.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        OutputError
            If the folder cannot be written.
        """
        self._check_fitted()
        arrays, fitted = self._state()
        write_model(folder, type(self).__name__, self.parameters, arrays, fitted)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Self:
        """Read a model that :meth:`save` wrote.

        Raises
        ------
        MissingFileError, WeightsError
            If there is none, it is damaged, or of another class.
        """
        parameters, arrays, fitted = read_model(folder, cls.__name__)
        try:
            return cls._restored(parameters, arrays, fitted)
        except (TypeError, KeyError) as error:
            raise WeightsError(f"{folder} does not fit {cls.__name__}: {error}") from error

    def _state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        arrays: dict[str, np.ndarray] = {}
        fitted: dict[str, Any] = {}
        for name, value in self._fitted.items():
            if isinstance(value, Saved):
                inner_arrays, inner = value._state()
                arrays |= {f"{name}.{k}": v for k, v in inner_arrays.items()}
                fitted[name] = {"parameters": value.parameters, "fitted": inner}
            elif name in self._parts and isinstance(value, list):
                states = [part._state() for part in value]
                for i, (inner_arrays, _) in enumerate(states):
                    arrays |= {f"{name}.{i}.{k}": v for k, v in inner_arrays.items()}
                fitted[name] = [
                    {"parameters": part.parameters, "fitted": inner}
                    for part, (_, inner) in zip(value, states, strict=True)
                ]
            elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
                arrays[name] = value
            else:
                fitted[name] = value
        return arrays, fitted

    @classmethod
    def _restored(
        cls, parameters: Mapping[str, Any], arrays: Mapping[str, Any], fitted: Mapping[str, Any]
    ) -> Self:
        model = cls(**parameters)
        for name, value in fitted.items():
            part = cls._parts.get(name)
            if part is not None and isinstance(value, list):
                value = [
                    part._restored(v["parameters"], _below(arrays, f"{name}.{i}."), v["fitted"])
                    for i, v in enumerate(value)
                ]
            elif part is not None and value is not None:
                own = _below(arrays, f"{name}.")
                value = part._restored(value["parameters"], own, value["fitted"])
            setattr(model, name, value)
        for name, value in arrays.items():
            if "." not in name:
                setattr(model, name, value)
        return model


def _below(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the arrays whose names begin with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _encode(value: Any) -> Any:
    """Return ``value`` as JSON can hold it, types kept that JSON does not know."""
    if isinstance(value, np.ndarray):
        return {"array": _encode(value.tolist()), "dtype": value.dtype.str}
    if isinstance(value, np.generic):
        return _encode(value.item())
    if isinstance(value, tuple):
        return {"tuple": [_encode(item) for item in value]}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, Mapping):
        return {"mapping": {str(k): _encode(v) for k, v in value.items()}}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return np.array(_decode(value["array"]), dtype=np.dtype(value["dtype"]))
    if "tuple" in value:
        return tuple(_decode(item) for item in value["tuple"])
    if "mapping" in value:
        return {k: _decode(v) for k, v in value["mapping"].items()}
    return float(value["float"])
