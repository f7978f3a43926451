import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from tinbergen.errors import OutputError, WeightsError
from tinbergen.files import content_hash
from tinbergen.training.checkpoint import Checkpoints, flatten_optimizer, restore_optimizer
from tinbergen.training.tensors import write_tensors


def tensors(value, n=1000):
    return {"model/w": torch.full((n,), float(value))}


def load(checkpoints):
    found = checkpoints.load_last()
    assert found is not None
    return found


def test_written_files_are_what_the_library_writes(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    state = {"a": torch.randn(3, 2), "b": torch.arange(4), "c": torch.randn(2).half()}
    digest = write_tensors(tmp_path / "ours.safetensors", state, {"format": "pt"})
    save_file(state, tmp_path / "theirs.safetensors", {"format": "pt"})
    ours, theirs = (load_file(tmp_path / f"{n}.safetensors") for n in ("ours", "theirs"))
    assert all(torch.equal(ours[name], theirs[name]) for name in state)
    with safe_open(tmp_path / "ours.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
    assert digest == content_hash(tmp_path / "ours.safetensors")


def test_keeps_the_last_two_and_the_best_that_they_name(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    best = None
    for step in range(10, 60, 10):
        if step in (10, 30):
            checkpoints.save_best(step, tensors(step), 1.0 / step)
            best = step
        checkpoints.save(step, tensors(step), {"best_step": best})
    assert checkpoints.steps() == [40, 50]
    assert checkpoints.steps("best") == [30]
    assert len(list(tmp_path.iterdir())) == 6
    loaded, scalars, complaints = load(checkpoints)
    assert scalars["step"] == 50
    assert loaded["model/w"][0] == 50
    assert complaints == []
    assert checkpoints.load_best(30)["model/w"][0] == 30


def test_no_checkpoints_is_none(tmp_path):
    assert Checkpoints(tmp_path).load_last() is None


@pytest.mark.parametrize("number, text", [(28, "disk is full"), (30, "read-only")])
@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_full_or_read_only_disk_leaves_the_last_checkpoint(
    tmp_path, monkeypatch, failing, number, text
):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, tensors(1), {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*args):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(f"tinbergen.files.os.{failing}", fail)
        with pytest.raises(OutputError, match=text):
            checkpoints.save(2, tensors(2), {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert load(checkpoints)[1]["step"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_real_write_error_leaves_the_last_checkpoint(tmp_path):
    """The kernel itself refuses to write more than 8 kB a file."""
    code = f"""if True:
        import resource, torch
        from pathlib import Path
        from tinbergen.errors import OutputError
        from tinbergen.training.checkpoint import Checkpoints
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        checkpoints = Checkpoints(Path({str(tmp_path)!r}))
        checkpoints.save(1, {{"w": torch.ones(1000)}}, {{}})
        try:
            checkpoints.save(2, {{"w": torch.ones(10_000)}}, {{}})
        except OutputError as error:
            print(error)
    """
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "largest size" in said.stdout
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors"]
    assert load(Checkpoints(tmp_path))[1]["step"] == 1


def test_full_disk_during_training_keeps_the_run_resumable(toy, tmp_path, monkeypatch, capsys):
    straight = toy.train(tmp_path / "straight").run
    original = os.fsync

    def full(handle):
        if (tmp_path / "run" / "checkpoints" / "step_0000000018.json").exists():
            raise OSError(28, "No space left on device")
        original(handle)

    with monkeypatch.context() as patch:
        patch.setattr("tinbergen.files.os.fsync", full)
        with pytest.raises(OutputError, match="disk is full"):
            toy.train(tmp_path / "run")
    run = toy.train(tmp_path / "run", resume=True).run
    assert run.weights_path.read_bytes() == straight.weights_path.read_bytes()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.AdamW(p, lr=1e-2, fused=True),
        lambda p: torch.optim.AdamW(p, lr=1e-2, amsgrad=True, foreach=True),
        lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True),
        lambda p: torch.optim.RMSprop(p, lr=1e-2, momentum=0.5, centered=True),
        lambda p: torch.optim.Adagrad(p, lr=1e-2),
        lambda p: torch.optim.NAdam(p, lr=1e-2),
        lambda p: torch.optim.Rprop(p, lr=1e-2),
    ],
    ids=["adamw-fused", "amsgrad", "sgd", "rmsprop", "adagrad", "nadam", "rprop"],
)
def test_any_optimizer_goes_on_exactly(tmp_path, make):
    def fresh():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
        groups = [{"params": list(model[0].parameters()), "lr": 1e-3}, {"params": model[1].weight}]
        model[1].bias.requires_grad_(False)
        return model, make(groups)

    def step(model, optimizer, seed):
        data = torch.from_numpy(np.random.default_rng(seed).normal(size=(8, 3))).float()
        optimizer.zero_grad()
        model(data).square().mean().backward()
        optimizer.step()

    model, optimizer = fresh()
    for seed in range(3):
        step(model, optimizer, seed)
    flat, scalars = flatten_optimizer(optimizer, model)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, {**flat, **model.state_dict()}, {"optimizer": scalars})
    other, resumed = fresh()
    loaded, found, _ = load(checkpoints)
    other.load_state_dict({k: v for k, v in loaded.items() if not k.startswith("optimizer/")})
    restore_optimizer(resumed, other, loaded, found["optimizer"])
    for seed in range(3, 6):
        step(model, optimizer, seed)
        step(other, resumed, seed)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_other_parameter_groups_are_refused():
    model = nn.Linear(2, 2)
    flat, scalars = flatten_optimizer(torch.optim.SGD(model.parameters(), lr=1.0), model)
    split = torch.optim.SGD([{"params": model.weight}, {"params": model.bias}], lr=1.0)
    with pytest.raises(WeightsError, match="1 parameter groups"):
        restore_optimizer(split, model, flat, scalars)
    json.dumps(scalars)


def test_moments_lie_in_memory_as_their_parameters_do():
    """Fused kernels walk both side by side, whatever the order of their axes."""

    def stepped(fresh):
        torch.manual_seed(0)
        model = nn.Conv2d(4, 6, 3)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        torch.nn.init.constant_(model.weight, 0.1)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
        gradient = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
        for step in range(2):
            if step == 1 and fresh:
                saved, scalars = flatten_optimizer(optimizer, model)
                # As read from a file: one row after the other.
                saved = {name: value.contiguous().clone() for name, value in saved.items()}
                optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
                restore_optimizer(optimizer, model, saved, scalars)
            model.weight.grad = gradient.to(memory_format=torch.channels_last)
            model.bias.grad = torch.ones_like(model.bias)  # type: ignore[arg-type]
            optimizer.step()
        return model.weight.detach()

    assert torch.equal(stepped(fresh=False), stepped(fresh=True))
