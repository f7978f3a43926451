import json

import pytest
import typer
from typer.testing import CliRunner

from tinbergen import doctor
from tinbergen.cli.doctor import doctor as command


@pytest.fixture(scope="module")
def run():
    app = typer.Typer()
    app.command()(command)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


def test_this_machine_is_ready(run, tmp_path):
    result = run("--json", "--folder", tmp_path)
    said = json.loads(result.stdout)
    failed = [check for check in said["checks"] if check["state"] == "failed"]
    assert (result.exit_code, said["ok"], failed) == (0, True, [])
    names = {check["name"] for check in said["checks"]}
    wanted = {"python", "torch", "processor", "training on cpu", "lossless video", "disk"}
    assert wanted <= names
    assert not list(tmp_path.iterdir())


def test_failure_exits_with_1_and_the_rest_is_still_checked(run, tmp_path, monkeypatch):
    def broken():
        raise RuntimeError("no codec")

    monkeypatch.setattr(doctor, "_video", broken)
    monkeypatch.setattr(doctor, "_training", lambda: [])
    result = run("--folder", tmp_path)
    assert result.exit_code == 1
    assert "RuntimeError: no codec" in result.stdout
    assert "Not ready: video." in result.stdout
    assert "disk" in result.stdout


def test_missing_package_names_the_command(monkeypatch):
    monkeypatch.setattr(
        doctor.metadata, "requires", lambda name: ["no-such-package>=2", "numpy<1"]
    )
    missing, old = list(doctor._packages())[1:]
    assert (missing.state, missing.advice) == ("failed", 'pip install "no-such-package>=2"')
    assert old.state == "failed"
    assert "expected <1" in old.found


def test_unwritable_folder_fails(tmp_path):
    (tmp_path / "file").write_text("x")
    checks = list(doctor.examine(tmp_path / "file" / "below"))
    assert [c.state for c in checks if c.name == "disk"] == ["failed"]


def test_broken_extra_is_a_warning(tmp_path, monkeypatch):
    (tmp_path / "torchcodec.py").write_text("raise RuntimeError('no libavutil\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = [check for check in doctor._extras() if check.name == "torchcodec"]
    assert found.state == "warning"
    assert found.found == "installed but broken: no libavutil"
