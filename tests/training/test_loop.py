import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from tinbergen.errors import ConfigError, DeviceError, NonFiniteError
from tinbergen.training import RunFolder, fit


def test_learns_and_gives_back_the_best_weights(toy, tmp_path):
    result = toy.train(tmp_path / "run", steps=300, ema=0.0, task={"noise": 0.0, "dropout": 0.0})
    start = float(np.square(toy.Toy().y).mean())
    assert result.best_score < 0.05 * start
    assert not result.model.training
    with torch.no_grad():
        assert toy.Toy().validate(result.model)["error"] == pytest.approx(result.best_score)
    validations = result.run.metrics()["error"].dropna()
    assert result.best_score == validations.min()
    assert result.run.status["state"] == "done"


def test_same_seed_same_bytes_other_seed_other_bytes(toy, tmp_path):
    files = [
        toy.train(tmp_path / str(i), seed=seed).run.weights_path.read_bytes()
        for i, seed in enumerate((4, 4, 5))
    ]
    assert files[0] == files[1] != files[2]


def test_in_memory_equals_run_folder_and_writes_nothing(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = fit(toy.Toy(), toy.config())
    assert not list(tmp_path.iterdir())
    outside = toy.train(tmp_path / "run")
    for name, value in inside.model.state_dict().items():
        assert torch.equal(value, outside.model.state_dict()[name])
    assert inside.run is None


def test_callers_randomness_is_left_alone(toy):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    fit(toy.Toy(), toy.config(steps=2))
    assert torch.equal(torch.rand(3), expected)


def test_metrics_hold_what_is_promised(toy, tmp_path):
    table = toy.train(tmp_path / "run").run.metrics()
    training = table[table["loss"].notna()]
    assert training["step"].tolist() == list(range(4, 41, 4))
    assert table.loc[table["error"].notna(), "step"].tolist() == [9, 18, 27, 36, 40]
    for name in ("absolute", "grad_norm", "lr", "items_per_s", "data_s", "compute_s", "cpu_s"):
        assert training[name].notna().all()


def test_logged_loss_is_the_mean_over_its_steps(toy, tmp_path):
    fine = toy.train(tmp_path / "fine", log_every=1).run.metrics()["loss"].dropna().to_numpy()
    coarse = toy.train(tmp_path / "coarse", log_every=4).run.metrics()["loss"].dropna().to_numpy()
    np.testing.assert_allclose(fine.reshape(-1, 4).mean(axis=1), coarse, rtol=1e-6)


def test_tensorboard_files_hold_the_curves(toy, tmp_path):
    run = toy.train(tmp_path / "run", tensorboard=True).run
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    found = {event.step: event.value for event in events.Scalars("loss")}
    table = run.metrics().dropna(subset="loss")
    np.testing.assert_allclose([found[s] for s in table["step"]], table["loss"], rtol=1e-6)


def test_early_stop(toy, tmp_path):
    options = {"steps": 400, "learning_rate": 0.3, "validate_every": 2, "patience": 3, "ema": 0.0}
    run = toy.train(tmp_path / "run", **options).run
    status = run.status
    assert status["step"] < 400
    assert status["step"] == status["best_step"] + 6
    assert "early stop" in status["reason"]


def test_the_start_may_be_the_best(toy, tmp_path):
    """Steps that can only do harm: the weights of the start come back."""
    options = {"learning_rate": 50.0, "validate_every": 2, "patience": 2, "ema": 0.0}
    run = toy.train(tmp_path / "run", task={"from_start": True}, **options).run
    assert run.status["best_step"] == 0
    assert run.status["step"] == 4
    first = run.metrics().dropna(subset="error").iloc[0]
    assert first["step"] == 0 and first["error"] == run.status["best_score"]


def test_patience_needs_a_score(toy):
    with pytest.raises(ConfigError, match="patience"):
        fit(toy.Toy(scored=False), toy.config(patience=2))


def test_nan_names_step_and_items_and_keeps_the_checkpoint(toy, tmp_path):
    task = toy.Toy(nan_item=17)
    bad = next(s for s in range(40) if 17 in task.batches().batch(s))
    with pytest.raises(NonFiniteError, match=rf"step {bad}\..*item-17") as caught:
        toy.train(tmp_path / "run", task={"nan_item": 17}, checkpoint_every=1)
    run = RunFolder.open(tmp_path / "run")
    assert f"last good checkpoint is after step {bad}" in str(caught.value)
    assert run.status["state"] == "failed"
    assert "item-17" in run.status["reason"]
    saved = torch.cat([t.ravel() for t in _last_tensors(run).values() if t.is_floating_point()])
    assert torch.isfinite(saved).all()


def _last_tensors(run):
    from tinbergen.training.checkpoint import Checkpoints

    found = Checkpoints(run.checkpoints).load_last()
    assert found is not None
    return found[0]


def test_error_in_fetch_keeps_its_message_and_names_the_items(toy, tmp_path):
    class Broken(toy.Toy):
        def fetch(self, indices, step):
            if step == 5:
                raise ValueError("frame 7 of a.mp4 is damaged")
            return super().fetch(indices, step)

    for workers in (0, 2):
        with pytest.raises(ValueError, match="frame 7 of a.mp4") as caught:
            fit(Broken(), toy.config(workers=workers))
        assert "step 5" in caught.value.__notes__[0]
        assert "item-" in caught.value.__notes__[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_absent_gpu_is_refused(toy):
    with pytest.raises(DeviceError, match="Expected 1 GPU.*found 0"):
        fit(toy.Toy(), toy.config(device="cuda"))


def test_unsupported_precision_is_refused(toy, monkeypatch):
    with pytest.raises(DeviceError, match="fp16 needs a CUDA GPU"):
        fit(toy.Toy(), toy.config(precision="fp16"))
    monkeypatch.setattr("tinbergen.training.device.cpu_flags", lambda: set())
    with pytest.raises(DeviceError, match="bf16"):
        fit(toy.Toy(), toy.config(precision="bf16"))


def test_auto_precision_follows_the_processor(toy, monkeypatch):
    from tinbergen.training.device import choose_hardware

    auto = toy.config(precision="auto")
    monkeypatch.setattr("tinbergen.training.device.cpu_flags", lambda: {"avx512_bf16"})
    assert choose_hardware(auto).precision == "bf16"
    monkeypatch.setattr("tinbergen.training.device.cpu_flags", lambda: {"avx2"})
    assert choose_hardware(auto).precision == "fp32"


def test_bf16_autocast_reaches_the_model_but_not_its_inputs_and_outputs(toy, monkeypatch):
    monkeypatch.setattr("tinbergen.training.device.cpu_flags", lambda: {"avx512_bf16"})
    seen = {}

    class Probe(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(6, 1)

        def forward(self, x):
            seen["input"], seen["inside"] = x.dtype, self.inner(x).dtype
            return self.inner(x)

    class Task(toy.Toy):
        def build(self):
            return Probe()

        def loss(self, model, batch, generator):
            seen["output"] = model(batch["x"]).dtype
            return super().loss(model, batch, generator)

    fit(Task(), toy.config(precision="bf16", steps=1))
    assert seen == {"input": torch.float32, "inside": torch.bfloat16, "output": torch.float32}


def test_validation_draws_and_modes_do_not_leak_into_training(toy, tmp_path):
    often = toy.train(tmp_path / "a", validate_every=1, task={"scored": False}).run
    never = toy.train(tmp_path / "b", validate_every=0, task={"scored": False}).run
    assert often.weights_path.read_bytes() == never.weights_path.read_bytes()


def test_import_needs_no_torch_and_no_lightning():
    code = """if True:
        import sys, tinbergen.training, tinbergen.training.config, tinbergen.training.run
        from tinbergen.training import TrainConfig, RunFolder
        assert "torch" not in sys.modules, "torch"
        from tinbergen.training import fit, Task
        assert "lightning_fabric" not in sys.modules, "lightning_fabric"
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_status_records_what_ran(toy, tmp_path):
    status = toy.train(tmp_path / "run", steps=2).run.status
    assert status["device"] == "cpu"
    assert status["precision"] == "fp32"
    assert status["versions"]["torch"] == torch.__version__
    assert json.dumps(status)
