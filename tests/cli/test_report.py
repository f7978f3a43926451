import json

import pytest
from typer.testing import CliRunner

from tinbergen.cli.main import app


@pytest.fixture
def small_run(tmp_path):
    (tmp_path / "status.json").write_text(json.dumps({"state": "done", "seed": 0}))
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    return tmp_path


def test_report_prints_the_path_of_the_page(small_run):
    result = CliRunner().invoke(app, ["report", str(small_run)])
    assert result.exit_code == 0
    assert result.stdout.strip() == str(small_run / "report.html")
    assert (small_run / "report.html").is_file()


def test_open_shows_the_page(small_run, monkeypatch):
    shown = []
    monkeypatch.setattr("typer.launch", shown.append)
    CliRunner().invoke(app, ["report", str(small_run), "--open"])
    assert shown == [(small_run / "report.html").resolve().as_uri()]


@pytest.mark.parametrize("argv", [["report"], ["report", "a", "b"], ["report", "a", "--opne"]])
def test_wrong_usage_exits_with_2(argv):
    assert CliRunner().invoke(app, argv).exit_code == 2


def test_no_run_is_one_message_and_exit_code_1(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        app(["report", str(tmp_path / "nothing")], standalone_mode=False)
    assert caught.value.code == 1
    message = capsys.readouterr().err
    assert message.startswith("error: Expected a run folder at ")
    assert "Traceback" not in message
