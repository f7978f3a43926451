"""What differs on a GPU: precision, asynchronous checks, pinned batches."""

import pytest
import torch

from tinbergen.errors import NonFiniteError, PreemptedError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture
def on_gpu(toy):
    class OnGpu(toy.Toy):
        def validate(self, model):
            x, y = (torch.from_numpy(a).cuda() for a in (self.x, self.y))
            return {"error": float((model(x).float() - y).square().mean())}

    toy_class, toy.Toy = toy.Toy, OnGpu
    yield toy
    toy.Toy = toy_class


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_learns_in_every_precision_and_resumes(on_gpu, tmp_path, precision):
    options = {"device": "cuda", "precision": precision, "steps": 200}
    straight = on_gpu.train(tmp_path / "straight", **options)
    assert straight.best_score < 30.0
    with pytest.raises(PreemptedError):
        task = {"kill_at": 101, "kill_signal": "SIGTERM"}
        on_gpu.train(tmp_path / "run", task=task, **options)
    resumed = on_gpu.train(tmp_path / "run", resume=True, **options)
    assert resumed.best_score == pytest.approx(straight.best_score, rel=0.05)


def test_nan_is_noticed_later_but_its_own_step_is_named(on_gpu, tmp_path):
    task = on_gpu.Toy(nan_item=17)
    bad = next(s for s in range(40) if 17 in task.batches().batch(s))
    with pytest.raises(NonFiniteError, match=rf"step {bad}\..*item-17"):
        on_gpu.train(tmp_path / "run", task={"nan_item": 17}, device="cuda", log_every=20)


def test_more_gpus_than_there_are(toy):
    from tinbergen.errors import DeviceError
    from tinbergen.training import fit

    with pytest.raises(DeviceError, match="Expected 64 GPU"):
        fit(toy.Toy(batch_size=64), toy.config(device="cuda", devices=64, batch_size=64))
