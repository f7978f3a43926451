"""Two processes (gloo) learn what one does from the same batch, contrast over both included."""

import numpy as np
import torch
from tiny_beast import MemoryCache, tiny_config

from tinbergen.beast.task import PretrainTask
from tinbergen.training import fit

DETERMINISTIC = {  # whatever is drawn in the loss differs between one process and two
    "objective": {"reconstruction": 0.0, "mask_ratio": 0.0, "background": False},
    "augment": {"flip": 0, "crop": 0, "contrast": 0},
    "contrast": {
        "weight": 1.0, "temperature": 0.3, "learn_temperature": True, "head_norm": "layer",
        "exclusion": 0.1, "negatives": "all",
    },
}  # fmt: skip


def train(preset="tinbergen", devices=1, **changes):
    config = tiny_config(preset, **changes)
    config = config.updated(train={"devices": devices, "steps": 8, "batch_size": 12})
    backgrounds = np.full((2, 16, 24, 3), 100, np.uint8)
    task = PretrainTask(config, MemoryCache(), np.arange(70), np.zeros(0, int), backgrounds)
    return fit(task, config.train).model.state_dict()


def test_contrast_over_two_processes_is_that_of_one_batch(capfd):
    one, two = train(**DETERMINISTIC), train(devices=2, **DETERMINISTIC)
    assert "Warning" not in capfd.readouterr().err
    assert one.keys() == two.keys()
    for name in one:
        pair = [two[name], one[name]]
        if name.endswith("qkv.bias"):
            # Softmax does not see the keys' bias: its gradient is rounding, scaled up by Adam.
            pair = [torch.cat([v[:16], v[32:]]) for v in pair]
        torch.testing.assert_close(*pair, rtol=1e-3, atol=2e-5)
    apart = train(devices=1, **{**DETERMINISTIC, "contrast": {"weight": 1.0, "temperature": 0.9}})
    difference = apart["encoder.stem.weight"] - one["encoder.stem.weight"]
    assert difference.abs().max() > 1e-3


def test_whole_preset_trains_on_two_processes():
    """Every parameter takes part in the loss of every process."""
    weights = train(devices=2, objective={"eigenframes": 4})
    assert all(torch.isfinite(value).all() for value in weights.values())
