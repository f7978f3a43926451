"""Plain values out of a pickle without running it, for column names in pandas' HDF5 files."""

from __future__ import annotations

import pickletools
from typing import Any

from tinbergen.errors import DataError

_MARK = object()
_PLAIN = {
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT",
}  # fmt: skip


def read_plain_pickle(data: bytes) -> Any:
    r"""Return the lists, tuples, texts and numbers that ``data`` describes.

    Every other instruction, above all those that import or call something, is refused.

    Raises
    ------
    DataError
        If the pickle holds more than plain values.

    Examples
    --------
    >>> read_plain_pickle(b"(lp0\n(Vnose\nVx\ntp1\na.")
    [('nose', 'x')]
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        at = len(stack) - 1 - stack[::-1].index(_MARK)
        items = stack[at + 1 :]
        del stack[at:]
        return items

    argument: Any
    for code, argument, _ in pickletools.genops(bytes(data)):
        name = code.name
        if name in _PLAIN:
            stack.append(argument)
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("LIST", "EMPTY_LIST"):
            stack.append(since_mark() if name == "LIST" else [])
        elif name in ("TUPLE", "EMPTY_TUPLE"):
            stack.append(tuple(since_mark()) if name == "TUPLE" else ())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            n = int(name[-1])
            stack[-n:] = [tuple(stack[-n:])]
        elif name == "APPEND":
            item = stack.pop()
            stack[-1].append(item)
        elif name == "APPENDS":
            items = since_mark()
            stack[-1].extend(items)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise DataError(f"column names are stored with {name}, which could run code; refused")
    raise DataError("column names are cut off")
