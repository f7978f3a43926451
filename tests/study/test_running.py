"""Order, failure, kill and resume, with Snakemake and a program in the place of Tinbergen's."""

import os
import shutil
import signal
import time

import pytest

from tinbergen.errors import ConfigError, OutputError
from tinbergen.study import estimate, require_snakemake, run_plan, running, study_status

pytest.importorskip("snakemake")


def states(small):
    return {each.name: each.state for each in study_status(small.plan())}


def wait_until(condition, limit=60.0):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def kill_all(process):
    """SIGKILL of Snakemake, its jobs and their commands: they are one process group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_steps_run_once_and_after_those_they_use(small, stub):
    assert set(states(small).values()) == {"waiting"}
    assert stub.run(small.file, cores=2) == 0
    assert set(states(small).values()) == {"done"}
    names = stub.names()
    assert sorted(names) == ["embeddings", "features", "neurons", "wheel"]
    assert names.index("features") < names.index("embeddings") < names.index("neurons")
    assert stub.run(small.file) == 0
    assert stub.names() == names  # nothing again


def test_a_changed_setting_runs_the_step_and_what_follows(small, stub):
    assert stub.run(small.file) == 0
    before = len(stub.calls())
    small.changed("neurons", bin=0.1)
    assert states(small) == {
        "features": "done", "embeddings": "done", "neurons": "stale", "wheel": "done"
    }  # fmt: skip
    assert stub.run(small.file) == 0
    assert stub.names()[before:] == ["neurons"]
    small.changed("neurons")  # and back: the first result is still there
    assert set(states(small).values()) == {"done"}
    before = len(stub.calls())
    small.changed("features", steps=4)
    assert stub.run(small.file) == 0
    assert stub.names()[before:] == ["features", "embeddings", "neurons"]


def test_touching_a_file_runs_nothing_and_changing_it_what_depends(small, stub):
    assert stub.run(small.file) == 0
    before = len(stub.calls())
    for path in (small.folder / "data").iterdir():
        os.utime(path, (time.time() + 100, time.time() + 100))
    assert stub.run(small.file) == 0
    assert len(stub.calls()) == before
    small.data("a.spikes.npz", "second")
    assert stub.run(small.file) == 0
    assert sorted(stub.names()[before:]) == ["neurons", "wheel"]


def test_a_failure_stops_only_those_that_use_it(small, stub):
    stub.orders({"embeddings": {"exit": 1}})
    assert stub.run(small.file) != 0
    found = {each.name: each for each in study_status(small.plan())}
    assert {name: each.state for name, each in found.items()} == {
        "features": "done", "embeddings": "failed", "neurons": "waiting", "wheel": "done"
    }  # fmt: skip
    assert found["embeddings"].note == "error: told to fail"
    assert found["embeddings"].log.is_file()
    stub.orders({})
    before = len(stub.calls())
    assert stub.run(small.file) == 0
    assert stub.names()[before:] == ["embeddings", "neurons"]


def test_killed_in_the_middle_it_goes_on(small, stub):
    stub.orders({"features": {"sleep": 60}})
    process = stub.start(small.file, cores=2)
    wait_until(lambda: {"features", "wheel"} <= set(stub.names()))
    wait_until(lambda: states(small)["wheel"] == "done")
    assert states(small)["features"] == "running"
    kill_all(process)
    assert states(small)["features"] == "stopped"
    assert not list(small.folder.rglob("features/*/done.json"))
    (small.folder / "study-results/.snakemake/locks").mkdir(parents=True, exist_ok=True)
    (small.folder / "study-results/.snakemake/locks/0.output.lock").write_text("x\n")
    stub.orders({})
    before = len(stub.calls())
    assert stub.run(small.file, cores=2) == 0
    assert stub.names()[before:] == ["features", "embeddings", "neurons"]
    assert "--resume" in stub.calls()[before][1]
    assert set(states(small).values()) == {"done"}
    assert not list(small.folder.rglob("half"))


def test_what_cannot_resume_begins_anew(small, stub):
    stub.orders({"wheel": {"sleep": 60}})
    process = stub.start(small.file)
    wait_until(lambda: list(small.folder.glob("study-results/wheel/*/run/half")))
    kill_all(process)
    stub.orders({})
    assert stub.run(small.file) == 0
    assert "--resume" not in [call for call in stub.calls() if call[0] == "wheel"][-1][1]
    assert not list(small.folder.rglob("half"))


def test_a_job_that_outlives_the_runner_is_waited_for(small, stub):
    stub.orders({"wheel": {"sleep": 8}})
    process = stub.start(small.file)
    wait_until(lambda: "wheel" in stub.names())
    process.kill()  # Snakemake, its job and the command live on
    process.wait()
    time.sleep(0.5)
    assert stub.run(small.file) == 0
    assert stub.names().count("wheel") == 1


def test_preempted_alone_a_command_is_called_again(small, stub):
    stub.orders({"features": {"exit_once": 75}})
    assert stub.run(small.file) == 0
    assert stub.names().count("features") == 2
    assert "--resume" in stub.calls()[1][1] or "--resume" in stub.calls()[0][1]


def test_stopped_by_a_signal_it_is_not_failed(small, stub):
    stub.orders({"features": {"sleep": 60}})
    process = stub.start(small.file)
    wait_until(lambda: "features" in stub.names())
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert states(small)["features"] == "stopped"


def test_a_command_that_is_killed_says_so(small, stub):
    stub.orders({"wheel": {"kill": True}})
    small.write({"wheel": {"kind": "decode", "settings": {"to": "wheel"}}})
    assert stub.run(small.file) != 0
    (found,) = study_status(small.plan())
    assert found.state == "failed" and "killed by SIGKILL" in found.note


def test_losses_are_kept_in_mind(small, stub):
    stub.orders({"features": {"exit": 3}})
    assert stub.run(small.file) == 0
    found = study_status(small.plan())[0]
    assert (found.state, found.note, found.done["losses"]) == ("done", "with losses", True)


def test_threads_are_those_of_the_step_whatever_is_free(small, stub):
    steps = {"wheel": {"kind": "decode", "settings": {"to": "wheel"}, "cores": 2}}
    small.write(steps)
    assert stub.run(small.file, cores=1) == 0
    assert stub.calls()[0][3] == "2"


@pytest.mark.parametrize("cores", [1, 2])
def test_no_more_at_once_than_there_are_cores(small, stub, cores):
    steps: dict = {"look": {"kind": "check"}}
    for name in ("one", "two", "three"):
        steps[name] = {"kind": "decode", "uses": "look", "settings": {"to": "wheel"}}
    small.write(steps)
    stub.orders({name: {"sleep": 1.0} for name in steps})
    assert stub.run(small.file, cores=cores) == 0
    starts = sorted(call[2] for call in stub.calls() if call[0] != "look")
    at_once = [sum(start <= other < start + 1.0 for other in starts) for start in starts]
    assert max(at_once) == cores


def test_one_runner_at_a_time(small, stub):
    stub.orders({"features": {"sleep": 60}})
    process = stub.start(small.file)
    try:
        wait_until(lambda: "features" in stub.names())
        plan = small.plan()
        with pytest.raises(OutputError, match="Another `tinbergen study run`"):
            run_plan(plan, estimate(plan))
    finally:
        kill_all(process)


def test_a_deleted_result_is_made_again(small, stub):
    assert stub.run(small.file) == 0
    shutil.rmtree(next((small.folder / "study-results/wheel").glob("*/run")))
    assert states(small)["wheel"] != "done"
    before = len(stub.calls())
    assert stub.run(small.file) == 0
    assert stub.names()[before:] == ["wheel"]


def test_without_snakemake_the_extra_is_named(monkeypatch):
    import importlib.metadata

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(running.importlib.metadata, "version", missing)
    with pytest.raises(ConfigError, match=r"pip install 'tinbergen\[study\]'"):
        require_snakemake()
    monkeypatch.setattr(running.importlib.metadata, "version", lambda name: "7.32.4")
    with pytest.raises(ConfigError, match="9.15 or newer, found 7.32.4"):
        require_snakemake()
