"""Plain values out of a pickle without running it: nothing is imported, nothing is called.

For column names in pandas' HDF5 files, for the settings that suite2p stores, and (see
:mod:`~tinbergen.recordings.array_pickle`) for arrays.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinbergen.errors import DataError

_MARK = object()
_PLAIN = {
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


@dataclass
class Unread:
    """What a pickle would have made by a call: the name of what it would call, and with what.

    Attributes
    ----------
    name
        ``"module name"`` of the function or class.
    arguments
        Of the call that was not made; None where there was none.
    state
        What the object would have been filled with.
    """

    name: str
    arguments: Any = None
    state: Any = field(default=None, repr=False)


def read_plain_pickle(data: bytes, unread: bool = False) -> Any:
    r"""Return the lists, tuples, dictionaries, texts and numbers that ``data`` describes.

    Parameters
    ----------
    data
        The pickle.
    unread
        What to do with every other instruction, above all those that import or call something:
        refuse the pickle, or (True) put an :class:`Unread` in its place.

    Raises
    ------
    DataError
        If the pickle is cut off, or holds more than plain values.

    Examples
    --------
    >>> read_plain_pickle(b"(lp0\n(Vnose\nVx\ntp1\na.")
    [('nose', 'x')]
    """
    machine = _Machine(unread)
    try:
        for code, argument, _ in pickletools.genops(bytes(data)):
            if code.name == "STOP":
                return machine.stack.pop()
            machine.run(code.name, argument)
    except DataError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the pickled values are damaged: {error}") from error
    raise DataError("the pickled values are cut off")


class _Machine:
    """The pickle's stack and memo."""

    def __init__(self, unread: bool):
        self.unread = unread
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def since_mark(self) -> list[Any]:
        at = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def run(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _PLAIN:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("LIST", "EMPTY_LIST"):
            stack.append(self.since_mark() if name == "LIST" else [])
        elif name in ("DICT", "EMPTY_DICT"):
            items = self.since_mark() if name == "DICT" else []
            stack.append(dict(zip(items[::2], items[1::2], strict=True)))
        elif name in ("TUPLE", "EMPTY_TUPLE"):
            stack.append(tuple(self.since_mark()) if name == "TUPLE" else ())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            n = int(name[-1])
            stack[-n:] = [tuple(stack[-n:])]
        elif name in ("APPEND", "APPENDS"):
            items = self.since_mark() if name == "APPENDS" else [stack.pop()]
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self.since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif name == "POP":
            stack.pop()
        elif name not in ("PROTO", "FRAME"):
            self.leave(name, argument)

    def leave(self, name: str, argument: Any) -> None:
        """Put an :class:`Unread` where an object would be made."""
        stack = self.stack
        if not self.unread:
            raise DataError(f"values are stored with {name}, which could run code; refused")
        if name == "GLOBAL":
            stack.append(Unread(argument))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(Unread(f"{module} {attribute}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, called = stack.pop(), stack.pop()
            stack.append(Unread(called.name, arguments))
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].state = state
        else:
            raise DataError(f"values are stored with {name}, which is not known here")


def plain_number(value: Any) -> float | None:
    """Return a number out of :func:`read_plain_pickle`, also one of numpy's; None for others."""
    if isinstance(value, Unread) and value.name in (
        "numpy.core.multiarray scalar",
        "numpy._core.multiarray scalar",
    ):
        dtype, data = value.arguments
        code, order = str(dtype.arguments[0]), str(dtype.state[1])
        if code[0] not in "biuf":
            return None
        data = plain_bytes(data)
        return float(np.frombuffer(data, np.dtype(order.replace("|", "") + code))[0])
    return float(value) if isinstance(value, int | float) else None


def plain_bytes(data: Any) -> bytes:
    """Return bytes out of :func:`read_plain_pickle`; the oldest protocols keep them as text."""
    if isinstance(data, Unread) and data.name == "_codecs encode":
        text, codec = data.arguments
        if codec not in ("latin1", "latin-1"):  # as every pickle of bytes says
            raise DataError(f"bytes are stored as {codec!r}, which is not known here")
        return text.encode("latin1")
    if isinstance(data, Unread):  # empty ones, as a call of bytes()
        return b""
    return data.encode("latin1") if isinstance(data, str) else bytes(data)
