"""Ways in which files get broken: on a disk, on a wire, in other people's hands."""

from __future__ import annotations

import random
from collections.abc import Callable

Operator = Callable[[bytes, random.Random], bytes]


def flip_bit(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def overwrite(data: bytes, chance: random.Random) -> bytes:
    place, size = chance.randrange(len(data)), chance.choice([1, 4, 16, 64, 512])
    return data[:place] + chance.randbytes(size) + data[place + size :]


def blank(data: bytes, chance: random.Random) -> bytes:
    """Zero a sector, as after a crash."""
    place, size = chance.randrange(len(data)), chance.choice([16, 512, 4096])
    kept = min(size, len(data) - place)
    return data[:place] + bytes(kept) + data[place + kept :]


def lose(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + data[place + chance.choice([1, 7, 100, 512]) :]


def insert(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + chance.randbytes(chance.choice([1, 7, 100])) + data[place:]


def truncate(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def swap(data: bytes, chance: random.Random) -> bytes:
    size = min(512, len(data) // 3)
    a, b = sorted((chance.randrange(len(data) // 2), chance.randrange(len(data) // 2, len(data))))
    b = min(max(b, a + size), len(data) - size)
    return (
        data[:a] + data[b : b + size] + data[a + size : b] + data[a : a + size] + data[b + size :]
    )


def append(data: bytes, chance: random.Random) -> bytes:
    return data + chance.randbytes(chance.choice([1, 100, 5000]))


BYTES: tuple[Operator, ...] = (flip_bit, overwrite, blank, lose, insert, truncate, swap, append)


def _lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def lose_cell(data: bytes, chance: random.Random) -> bytes:
    lines = _lines(data)
    row = chance.randrange(len(lines))
    cells = lines[row].rstrip(b"\n").split(b",")
    del cells[chance.randrange(len(cells))]
    lines[row] = b",".join(cells) + b"\n"
    return b"".join(lines)


def lose_line(data: bytes, chance: random.Random) -> bytes:
    lines = _lines(data)
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def repeat_line(data: bytes, chance: random.Random) -> bytes:
    lines = _lines(data)
    row = chance.randrange(len(lines))
    return b"".join([*lines[: row + 1], *lines[row:]])


def exchange_lines(data: bytes, chance: random.Random) -> bytes:
    lines = _lines(data)
    a, b = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def change_cell(data: bytes, chance: random.Random) -> bytes:
    """Write into a cell what people and programs write instead of a number."""
    lines = _lines(data)
    row = chance.randrange(len(lines))
    cells = lines[row].rstrip(b"\n").split(b",")
    odd = (
        b"",
        b"n/a",
        b"inf",
        b"-",
        b"1;5",
        b"12.5.3",
        b"#REF!",
        b"1e999",
        b"\xff\xfe",
        b'"',
        b"0x10",
    )
    cells[chance.randrange(len(cells))] = chance.choice(odd)
    lines[row] = b",".join(cells) + b"\n"
    return b"".join(lines)


def repeat_column(data: bytes, chance: random.Random) -> bytes:
    lines = [line.rstrip(b"\n").split(b",") for line in _lines(data)]
    column = chance.randrange(min(len(cells) for cells in lines))
    return b"".join(b",".join([*c[: column + 1], *c[column:]]) + b"\n" for c in lines)


def other_separator(data: bytes, chance: random.Random) -> bytes:
    return data.replace(b",", chance.choice([b";", b"\t", b", ", b"|"]))


def european(data: bytes, chance: random.Random) -> bytes:
    return data.replace(b",", b";").replace(b".", b",")


def other_encoding(data: bytes, chance: random.Random) -> bytes:
    text = data.decode()
    return text.encode(chance.choice(["utf-16", "utf-32", "utf-8-sig"]))


def windows_lines(data: bytes, chance: random.Random) -> bytes:
    return data.replace(b"\n", chance.choice([b"\r\n", b"\r", b"\n\n"]))


TABLE: tuple[Operator, ...] = (
    *(lose_cell, lose_line, repeat_line, exchange_lines, change_cell, change_cell, repeat_column),
    *(other_separator, european, other_encoding, windows_lines, truncate, blank, insert),
)


def change_indent(data: bytes, chance: random.Random) -> bytes:
    lines = _lines(data)
    row = chance.randrange(len(lines))
    lines[row] = chance.choice([b"  ", b"\t", b" "]) + lines[row]
    return b"".join(lines)


def misspell(data: bytes, chance: random.Random) -> bytes:
    """One letter of a key is another one."""
    keys = [
        i for i in range(1, len(data)) if data[i : i + 1] == b":" and data[i - 1 : i].isalpha()
    ]
    place = chance.choice(keys) - 1
    return data[:place] + chance.choice(b"xyzq").to_bytes(1, "little") + data[place + 1 :]


_ODD_VALUES = (
    *(b"null", b"[1, 2]", b"{a: 1}", b"-1", b"yes", b"1e400", b"'", b"*anchor"),
    *(b"!!python/none", b"2026-01-02", b".nan", b"&a [*a]"),
)


def odd_value(data: bytes, chance: random.Random) -> bytes:
    """One value becomes of another type."""
    lines = _lines(data)
    rows = [
        i for i, line in enumerate(lines) if b": " in line and not line.rstrip().endswith(b":")
    ]
    row = chance.choice(rows)
    lines[row] = lines[row].split(b": ")[0] + b": " + chance.choice(_ODD_VALUES) + b"\n"
    return b"".join(lines)


YAML: tuple[Operator, ...] = (
    *(change_indent, misspell, odd_value, odd_value, lose_line, repeat_line, exchange_lines),
    *(truncate, flip_bit, blank, insert),
)
