"""Names that are imported at first use, so that ``import tinbergen`` stays quick.

A package's ``__init__.pyi`` is the one list of its public names: type checkers and editors read it
as it is, and :func:`attach` makes the package offer the same names at run time (PEP 562). A public
function must not have the name of a module beside it: importing the module would hide it.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any


def attach(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    Parameters
    ----------
    package, file
        The package's ``__name__`` and ``__file__``; beside it lies the stub, whose lines read
        ``from .module import name as name``, or ``from . import name as name`` for a module.
    """
    exports: dict[str, str] = {}
    for line in ast.parse(Path(file).with_suffix(".pyi").read_text("utf-8")).body:
        if isinstance(line, ast.ImportFrom):
            home = f".{line.module}" if line.module else ""
            exports |= {alias.name: package + home for alias in line.names}

    def __getattr__(name: str) -> Any:
        home = exports.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if home == package:
            return importlib.import_module(f"{package}.{name}")
        return getattr(importlib.import_module(home), name)

    def __dir__() -> list[str]:
        return sorted(exports)

    return __getattr__, __dir__, sorted(exports)
