"""Fixtures of all rooms: real recordings, the command line as a function; one thread a process."""

import contextlib
import io
import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from pathlib import Path  # noqa: E402
from typing import NamedTuple  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402

# A busy machine is no failure; every example is the same in every run.
hypothesis.settings.register_profile("tinbergen", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tinbergen")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings, or skip: set TINBERGEN_DATA or put them at ../shared/data."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("TINBERGEN_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}; set TINBERGEN_DATA to their folder")
    return folder


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def cli():
    """Call ``tinbergen`` with arguments, in this process."""

    def call(*arguments) -> Said:
        from tinbergen.cli.main import app

        out, err = io.StringIO(), io.StringIO()
        code: object = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                app([str(a) for a in arguments])
            except SystemExit as end:
                code = end.code or 0
        return Said(int(code), out.getvalue(), err.getvalue())  # type: ignore[call-overload]

    return call
