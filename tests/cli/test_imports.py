"""What must not be imported: torch and the other slow packages, before they are needed.

If one of these fails, a module imports something heavy at its top. Find it with
``python -X importtime -c "import tinbergen"`` and move the import into the function that needs it,
or export the name lazily (``tinbergen._lazy``).
"""

import json
import os
import subprocess
import sys
import time

import pytest

HEAVY = ["torch", "lightning_fabric", "pandas", "sklearn", "scipy", "cv2", "av", "matplotlib"]
HEAVY += [
    "pyarrow",
    "h5py",
    "pynwb",
    "transformers",
    "tensorboard",
    "optuna",
    "submitit",
    "snakemake",
]
VERBS = ["demo", "simulate", "check", "convert", "pretrain", "embed", "encode", "decode"]
VERBS += ["pose", "population", "study", "report", "doctor"]
GROUPS = [["population", verb] for verb in ("pretrain", "adapt", "evaluate", "predict")]
GROUPS += [["pose", v] for v in ("train", "predict", "evaluate", "suggest", "smooth", "convert")]
GROUPS += [["pose", verb] for verb in ("track", "cut", "identify")]
GROUPS += [["study", verb] for verb in ("run", "status", "report")]


def heavy_modules_after(code: str) -> list[str]:
    """Run ``code`` in a new interpreter and return which heavy packages it imported."""
    report = f"import sys, json; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().split("\n")[-1])


def test_importing_tinbergen_is_light():
    assert heavy_modules_after("import tinbergen") == []


@pytest.mark.parametrize(
    "argv",
    [["--help"], ["--version"], *([*verb, "--help"] for verb in [*([v] for v in VERBS), *GROUPS])],
)
def test_help_is_light(argv):
    code = f"""
from tinbergen.cli.main import app
try:
    app({argv!r})
except SystemExit as end:
    assert not end.code
"""
    assert heavy_modules_after(code) == []


@pytest.mark.parametrize("room", ["recordings", "report"])
def test_rooms_of_data_and_results_need_no_torch(room):
    code = f"""
import importlib
import pkgutil
import tinbergen.{room} as room
for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    importlib.import_module(module.name)
"""
    assert "torch" not in heavy_modules_after(code)


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        ([sys.executable, "-c", "import tinbergen"], 0.5),
        ([sys.executable, "-m", "tinbergen.cli.main", "--help"], 1.0),
    ],
)
def test_start_is_quick(command, seconds):
    """The best of five, and twice the promise: the machine may be busy."""

    def run() -> float:
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        return time.perf_counter() - start

    assert min(run() for _ in range(5)) < 2 * seconds


@pytest.mark.parametrize("own", [None, "ACTIVE"])
def test_waiting_threads_sleep_unless_told_otherwise(own, monkeypatch):
    from tinbergen.cli.main import app

    if own is None:
        monkeypatch.setenv("OMP_WAIT_POLICY", "")  # put back at the end, whatever is set
        monkeypatch.delenv("OMP_WAIT_POLICY")
    else:
        monkeypatch.setenv("OMP_WAIT_POLICY", own)
    with pytest.raises(SystemExit):
        app(["--version"])
    assert os.environ["OMP_WAIT_POLICY"] == (own or "PASSIVE")
