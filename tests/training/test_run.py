import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tinbergen.errors import ConfigError, DataError, MissingFileError, OutputError, WeightsError
from tinbergen.training import RunFolder, TrainConfig


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(
        tmp_path / "run ä",
        TrainConfig(learning_rate=5e-5),
        seed=3,
        inputs={"a.mp4": "00ff"},
        splits={"train": ["a"], "test": ["b"]},
    )


def test_create_writes_what_open_reads(run):
    again = RunFolder.open(run.path)
    assert TrainConfig(**again.config) == TrainConfig(learning_rate=5e-5)
    assert "schema_version: 1" in (run.path / "config.yaml").read_text()
    assert again.splits == {"train": ["a"], "test": ["b"]}
    status = again.status
    assert (status["state"], status["seed"], status["inputs"]) == ("created", 3, {"a.mp4": "00ff"})
    assert status["versions"]["python"]
    assert again.checkpoints.is_dir()
    assert again.predictions.is_dir()
    assert len(again.metrics()) == 0


def test_existing_run_is_never_overwritten(run):
    with pytest.raises(OutputError, match=r"already holds a run \(created\).*--resume"):
        RunFolder.create(run.path, TrainConfig(), seed=0)


def test_existing_folder_and_file_are_refused_but_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("full", "file"):
        with pytest.raises(OutputError, match="nothing is overwritten"):
            RunFolder.create(tmp_path / name, TrainConfig(), seed=0)
    assert RunFolder.create(tmp_path / "empty", TrainConfig(), seed=0).status["state"] == "created"


def test_failed_creation_leaves_nothing(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinbergen.training.run.write_yaml", full)
    with pytest.raises(OutputError, match="disk is full"):
        RunFolder.create(tmp_path / "run", TrainConfig(), seed=0)
    assert not list(tmp_path.iterdir())


def test_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        RunFolder.create(tmp_path / "file" / "run", TrainConfig(), seed=0)


def test_open_says_what_is_missing(tmp_path):
    with pytest.raises(MissingFileError, match="found nothing"):
        RunFolder.open(tmp_path / "run")
    with pytest.raises(MissingFileError, match="found something else"):
        RunFolder.open(tmp_path)


def test_resume_refuses_other_settings_and_other_data(run):
    def start(config, inputs):
        RunFolder.start(run.path, config, seed=3, inputs=inputs, resume=True)

    same = TrainConfig(learning_rate=5e-5)
    start(same, {"a.mp4": "00ff"})
    start(same.updated(workers=7, device="cpu", log_every=3), {"a.mp4": "00ff"})
    with pytest.raises(ConfigError, match="learning_rate: 5e-05 in the run, 0.001 now"):
        start(TrainConfig(), {"a.mp4": "00ff"})
    with pytest.raises(DataError, match=r"a\.mp4, b\.mp4 changed"):
        start(same, {"a.mp4": "00fe", "b.mp4": "11"})


def test_newer_schema_is_refused(run):
    path = run.path / "config.yaml"
    path.write_text(path.read_text().replace("schema_version: 1", "schema_version: 9"))
    with pytest.raises(ConfigError, match="found 9"):
        _ = run.config


def test_two_writers_are_refused_and_the_first_goes_on(run):
    code = f"""if True:
        from tinbergen.training import RunFolder
        from tinbergen.errors import OutputError
        try:
            with RunFolder({str(run.path)!r}).writing():
                pass
        except OutputError as error:
            print(error)
    """
    with run.writing():
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        assert f"is being written by process {os.getpid()}" in said
        assert run.status["state"] == "running"
    with run.writing():
        pass


def test_writing_marks_failure_with_its_reason(run):
    with pytest.raises(ZeroDivisionError), run.writing():
        _ = 1 / 0
    assert run.status["state"] == "failed"
    assert "division by zero" in run.status["reason"]


def test_metrics_lines(run):
    run.log({"step": 1, "loss": 0.5, "bad": float("nan"), "worse": float("inf")})
    run.log({"step": 2, "loss": torch.tensor(0.25)})
    lines = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    assert lines[0] == {"step": 1, "loss": 0.5, "bad": None, "worse": None}
    assert run.metrics()["loss"].tolist() == [0.5, 0.25]
    run.metrics_path.write_text('{"step": 1}\nrubbish\n{"step": 2}\n')
    with pytest.raises(DataError, match="line 2"):
        run.metrics()


def test_weights_round_trip_and_damage(run):
    with pytest.raises(MissingFileError, match="the run is created"):
        run.load_weights()
    tied = torch.randn(4, 3)
    state = {
        "a": tied,
        "b": tied,
        "view": tied[:, 1],
        "transposed": tied.T,
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 2),
        "half": tied.to(torch.bfloat16),
        "mask": torch.tensor([True, False]),
    }
    run.save_weights(state, {"step": "9"})
    loaded = run.load_weights()
    assert loaded.keys() == state.keys()
    for name, value in state.items():
        assert loaded[name].dtype == value.dtype
        assert torch.equal(loaded[name], value)
    run.weights_path.write_bytes(run.weights_path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="damaged"):
        run.load_weights()


def test_a_flipped_bit_in_a_weight_is_told(run):
    from tinbergen.nn.weights import read_tensors

    run.save_weights({"a": torch.ones(4)})
    data = bytearray(run.weights_path.read_bytes())
    data[-1] ^= 1  # still a number, and still a whole file
    run.weights_path.write_bytes(data)
    for read in (run.load_weights, lambda: read_tensors(run.weights_path)):
        with pytest.raises(WeightsError, match=r"weights\.safetensors is not the file that"):
            read()


def test_of_two_that_make_a_run_at_once_one_is_told(tmp_path, monkeypatch):
    replace = os.replace

    def late(source, target):
        if Path(target) == tmp_path / "run" and not Path(target).exists():
            shutil.copytree(source, target)  # another process comes first
        replace(source, target)

    monkeypatch.setattr("os.replace", late)
    with pytest.raises(OutputError, match="already holds a run"):
        RunFolder.create(tmp_path / "run", TrainConfig(steps=1), seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_a_killed_writer_left_is_removed_by_the_next(run):
    left = run.path / ".metrics.jsonl.abc123.tmp"
    left.write_text("half a li")
    with run.writing():
        assert not left.exists()
