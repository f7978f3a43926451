"""Configuration: frozen pydantic models, one YAML reader, overrides merged before validation."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import pydantic
import yaml

from tinbergen.errors import ConfigError, MissingFileError
from tinbergen.files import atomic_write

_MAX_BYTES = 10_000_000


class Config(pydantic.BaseModel):
    """Base of every configuration: immutable, and unknown keys are refused."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    def updated(self, **changes: Any) -> Self:
        """Return a copy with ``changes``, validated."""
        return resolve(type(self), self.model_dump(), changes)


AnyConfig = TypeVar("AnyConfig", bound=Config)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 core scalars: ``5e-5`` is a float, ``no`` and ``2024_01_02`` are strings."""


class _Dumper(yaml.SafeDumper):
    """Writes what :class:`_Loader` reads back unchanged."""


_SCALARS = [
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
]
for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {}
    for _tag, _pattern, _first in _SCALARS:
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), list(_first))


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, 0) if text[:2] in ("0x", "0o") else int(text, 10)


def _construct_mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict:
    mapping: dict = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool | None):
            raise yaml.constructor.ConstructorError(
                None, None, f"keys must be plain values, found {key!r}", key_node.start_mark
            )
        if key in mapping:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands twice", key_node.start_mark
            )
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)  # type: ignore[arg-type]
_Loader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)  # type: ignore[arg-type]


def parse_yaml(text: str, source: str = "text") -> Any:
    """Parse YAML with 1.2-style scalars.

    Examples
    --------
    >>> parse_yaml("{lr: 5e-5, name: no, session: 2024_01_02, seed: 010}")
    {'lr': 5e-05, 'name': 'no', 'session': '2024_01_02', 'seed': 10}
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from error


def read_yaml(path: str | os.PathLike) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises
    ------
    MissingFileError
        If there is no such file.
    ConfigError
        If it is not text, not YAML, too large, or not a mapping.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"Expected a YAML file at {path}, found none.")
    if path.stat().st_size > _MAX_BYTES:
        raise ConfigError(f"{path} is larger than {_MAX_BYTES} bytes; that is no configuration.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from error
    value = parse_yaml(text, str(path))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: expected 'key: value' lines, found a {type(value).__name__}.")
    return value


def write_yaml(path: str | os.PathLike, value: Mapping[str, Any]) -> None:
    """Write a mapping as YAML, atomically; :func:`read_yaml` gives the same mapping back."""
    with atomic_write(path) as file:
        yaml.dump(dict(value), file, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """Turn ``["train.lr=1e-3", ...]`` into a nested mapping; values are read as YAML.

    Examples
    --------
    >>> parse_overrides(["train.lr=1e-3", "name=a=b"])
    {'train': {'lr': 0.001}, 'name': 'a=b'}
    """
    result: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"Expected key=value, found {pair!r}; for example train.lr=1e-3.")
        node: Any = parse_yaml(value, pair)
        for part in reversed(key.split(".")):
            node = {part: node}
        result = merge(result, node)
    return result


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` laid over it, mapping by mapping; neither changes."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return result


def resolve(model: type[AnyConfig], *layers: Mapping[str, Any]) -> AnyConfig:
    """Merge ``layers`` (later ones win) and validate once.

    Raises
    ------
    ConfigError
        Naming each bad key, with a suggestion for a misspelt one.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = merge(merged, layer)
    try:
        return model.model_validate(merged)
    except pydantic.ValidationError as error:
        lines = [_explain(model, item) for item in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def _explain(model: type[pydantic.BaseModel], item: Any) -> str:
    path = [str(part) for part in item["loc"]]
    name = ".".join(path) or model.__name__
    if item["type"] != "extra_forbidden":
        found = item.get("input")
        shown = f", found {found!r}" if not isinstance(found, Mapping) else ""
        return f"{name}: {item['msg']}{shown}."
    known = _fields_at(model, path[:-1])
    close = difflib.get_close_matches(path[-1], known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(sorted(known))}."
    return f"{name}: there is no such setting; {hint}"


def _fields_at(model: type[pydantic.BaseModel], path: list[str]) -> list[str]:
    fields = model.model_fields
    for part in path:
        annotation = fields[part].annotation if part in fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)):
            return []
        fields = annotation.model_fields
    return list(fields)
