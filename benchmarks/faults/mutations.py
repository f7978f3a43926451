"""Files that were broken at random, in every format: what becomes of them.

A sound file is broken in one of some twenty ways (bits, sectors, cells, lines, encodings), read in
a process of its own, and what comes of it is one of

- *refused*: an error of Tinbergen's own that names the file;
- *the same*: what the sound file holds (the damage met nothing that is read);
- *told*: frames with a status, a note, a checkpoint before the last;
- *as it stands*: other values, and another reader (csv, numpy, h5py, PyYAML) finds the same ones:
  a digit became another digit, which nobody can know;
- *odd*: other values than the other reader has, or than it refuses to read. To be looked at;
- *traceback*, *crash* (of a C library), *hang*: faults of ours.

Then files that would run something are read: none of them may.

    python benchmarks/faults/mutations.py --each 60 --out mutations.json
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import collections
import json
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from multiprocessing import Process
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from formats import FORMATS, Format, Values
from payloads import PAYLOADS

from machine import describe_machine
from tinbergen.errors import ConfigError, TinbergenError

OUTCOMES = ("refused", "the same", "told", "as it stands", "odd", "traceback", "crash", "hang")
LIMIT_S = 20.0


def same(one: Values, other: Values) -> bool:
    """Whether two readings are equal, NaN for NaN."""
    return len(one) == len(other) and all(map(_equal, one, other))


def _equal(a: Any, b: Any) -> bool:
    if not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray):
        return a == b
    a, b = np.asarray(a), np.asarray(b)
    numbers = a.dtype.kind == b.dtype.kind == "f"
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=numbers)


def outcome(kind: Format, path: Path, sound: Values) -> tuple[str, str]:
    """Read a broken file; return what came of it, and details."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = kind.read(path)
    except TinbergenError as error:
        named = path.name in str(error) or path.parent.name in str(error)
        named |= isinstance(error, ConfigError)  # those name the setting
        return ("refused" if named else "odd"), str(error)
    except Exception:
        return "traceback", traceback.format_exc()
    if path.suffix == ".mp4":
        return _of_frames(found, sound)
    if same(found, sound):
        return "the same", ""
    if same(found, ["told"]) or caught:
        return "told", "; ".join(str(each.message) for each in caught)
    if kind.other is None:
        return "odd", "other values in spite of a checksum"
    try:
        others = kind.other(path)
    except Exception as error:
        return "odd", f"the other reader refuses it: {error!r}; {_shown(found, sound)}"
    if same(found, others):
        return "as it stands", ""
    return "odd", f"the other reader differs: {_shown(found, others)}"


def _of_frames(found: Values, sound: Values) -> tuple[str, str]:
    """Frames by their numbers: each has to be as it was, or told of."""
    (frames, told), truth = found, dict(sound[0])
    wrong = [
        number
        for number, frame in frames
        if frame is not None and (number not in truth or (frame != truth[number]).any())
    ]
    if wrong:  # nothing in H.264 says so, if the bits still make sense
        return "as it stands", f"{len(wrong)} frames with other pixels, from {wrong[0]}"
    whole = not told and len(frames) == len(truth)
    silent = not told and len(frames) < len(truth)
    return ("the same" if whole else "odd" if silent else "told"), f"{len(frames)} frames"


def _shown(a: Values, b: Values) -> str:
    if len(a) != len(b):
        return f"{len(a)} things for {len(b)}"
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if not _equal(x, y)]
    return "; ".join(f"{str(x)[:80]} for {str(y)[:80]}" for x, y in pairs[:3])


def in_child(work: Any) -> tuple[str, str]:
    """Run ``work`` in a fork: a C library may crash or hang on a broken file."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(reading)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            with os.fdopen(writing, "w") as file:
                json.dump(work(), file)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    end = time.monotonic() + LIMIT_S
    with os.fdopen(reading) as file:
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "hang", ""
            time.sleep(0.002)
        text = file.read()
    if os.waitstatus_to_exitcode(ended[1]):
        return "crash", f"exit {os.waitstatus_to_exitcode(ended[1])}"
    name, details = json.loads(text)
    return name, details[:1500]


def campaign(name: str, times: int, folder: Path, chance: random.Random) -> dict[str, Any]:
    """Break files of one format ``times`` times."""
    kind = FORMATS[name]
    sound = folder / "sound"
    sound.mkdir()
    writer = Process(target=kind.write, args=(sound,))  # threads would not survive the forks
    writer.start()
    writer.join()
    place = in_child(lambda: ("", _place(kind, folder / "twin")))[1]
    counts: collections.Counter[str] = collections.Counter()
    examples = []
    for number in range(times):
        operator = kind.broken[number % len(kind.broken)]
        case = folder / f"case{number}"
        shutil.copytree(sound, case)
        path = case / place
        data = path.read_bytes()
        broken = operator(data, chance)
        if broken == data:
            broken = operator(data, chance)
        path.write_bytes(broken)
        found, details = in_child(lambda p=path: outcome(kind, p, kind.read(sound / place)))
        if found in ("hang", "crash") and kind.other is not None:
            alone = in_child(lambda p=path: (str(kind.other(p)), ""))[0]  # type: ignore[misc]
            details = f"the library alone: {alone[:20]}"
        counts[found] += 1
        if found not in ("refused", "the same", "as it stands"):
            example = {"operator": operator.__name__, "outcome": found, "details": details}
            examples.append(example)
        shutil.rmtree(case)
    return {"format": name, **{key: counts[key] for key in OUTCOMES}, "examples": examples}


def _place(kind: Format, folder: Path) -> str:
    """Return where in its folder the file is that gets broken."""
    folder.mkdir()
    return str(kind.write(folder).relative_to(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--each", type=int, default=60, help="broken files of every format")
    parser.add_argument("--formats", nargs="+", help="names of some of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"benchmark": "faults/mutations", "machine": describe_machine()}
    result |= {"rows": [], "run": []}
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        for number, name in enumerate(options.formats or FORMATS):
            folder = Path(scratch) / f"format{number}"
            folder.mkdir()
            row = campaign(name, options.each, folder, chance)
            result["rows"].append(row)
            print(json.dumps({k: v for k, v in row.items() if k != "examples"}), flush=True)
        for name, payload in PAYLOADS.items():
            folder = Path(scratch) / name.replace(" ", "_").replace("/", "_")
            folder.mkdir()
            sentinel = folder / "it ran"
            said, details = in_child(lambda f=folder, s=sentinel, p=payload: p(f, s))
            row = {"file": name, "said": said, "ran": sentinel.exists(), "details": details}
            result["run"].append(row)
            print(json.dumps(row), flush=True)
    total = {key: sum(row[key] for row in result["rows"]) for key in OUTCOMES}
    ran = sum(row["ran"] for row in result["run"])
    print(
        json.dumps({"files": sum(total.values()), **total, "payloads": len(PAYLOADS), "ran": ran})
    )
    if options.out:
        options.out.write_text(json.dumps(result | {"total": total, "ran": ran}, indent=1) + "\n")


if __name__ == "__main__":
    main()
