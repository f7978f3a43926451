"""A study of simulated animals through all rooms: killed and resumed = never stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tinbergen as tb
from tinbergen.cli.study import Commands
from tinbergen.configuration import read_yaml, write_yaml
from tinbergen.study import estimate, make_plan, read_study, study_status
from tinbergen.study.kinds import KINDS

pytest.importorskip("snakemake")
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "study.yaml"
FEWER = {"features": 30, "tracking": 30, "brain": 20, "shared": 20}  # steps of training


def plan_of(file):
    return make_plan(read_study(file), Commands())


def start(file, cores):
    return subprocess.Popen(
        [sys.executable, "-m", "tinbergen.cli.main", "study", "run", file, "--cores", str(cores)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def scores(plan):
    """Return step -> every score of it, and the bytes of what training and embedding made."""
    found = {}
    for name, step in plan.steps.items():
        where = KINDS[step.step.kind].headline
        if where is not None:
            summary = json.loads((step.folder / where / "summary.json").read_text())
            found[name] = [summary["headline"], summary["scores"]]
        for path in sorted(step.folder.rglob("cls.npy")):
            found[f"{name} {path.parent.name}"] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The example of the documentation, with fewer steps and shorter recordings."""
    folder = tmp_path_factory.mktemp("rooms")
    tb.simulate(
        folder / "animals", animals=3, duration=24.0, fps=15.0, size=(96, 128),
        views=("oblique",), neurons=12, labels=15,
    )  # fmt: skip
    study = read_yaml(EXAMPLE)
    for name, steps in FEWER.items():
        study["steps"][name]["settings"]["steps"] = steps
    study["steps"]["bouts"]["settings"]["set"]["settings"] = {"epochs": 3}
    for name in ("stopped", "straight"):
        write_yaml(folder / f"{name}.yaml", study)
    return folder


@pytest.mark.slow
def test_killed_and_resumed_with_one_worker_equals_two_workers(made):
    first, second = made / "stopped.yaml", made / "straight.yaml"
    process = start(first, 1)
    state = plan_of(first).steps["features"].folder / "run" / "checkpoints"
    while not list(state.glob("step_*.json")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    found = {each.name: each.state for each in study_status(plan_of(first))}
    assert found["features"] == "stopped" and "done" not in {found["brain"], found["embeddings"]}
    for file, cores in ((first, 1), (second, 2)):
        process = start(file, cores)
        said, _ = process.communicate(timeout=3000)
        assert process.returncode == 0, said
    one, two = plan_of(first), plan_of(second)
    assert {each.state for each in study_status(one)} == {"done"}
    assert [s.fingerprint for s in one.steps.values()] == [
        s.fingerprint for s in two.steps.values()
    ]
    assert scores(one) == scores(two)
    page = (one.study.out / "report.html").read_text(encoding="utf-8")
    for step in one.steps.values():
        where = KINDS[step.step.kind].headline
        if where is not None:
            link = (step.folder / where / "report.html").relative_to(one.study.out)
            assert link.as_posix() in page
    assert {each.source for each in estimate(one).values()} == {"an earlier run"}
