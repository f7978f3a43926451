"""Small sessions and networks for the tests of population models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from tinbergen.configuration import merge
from tinbergen.population.batch import Batch
from tinbergen.population.config import PopulationConfig, population_config
from tinbergen.population.corpus import Corpus
from tinbergen.population.model import PopulationModel
from tinbergen.population.sessions import Session
from tinbergen.population.vocabulary import Vocabulary
from tinbergen.training.prefetch import to_device

MODALITIES = {
    "wheel": {"kind": "continuous"},
    "pose": {"kind": "continuous"},
    "licks": {"kind": "counts"},
    "choice": {"kind": "categorical", "static": True},
    "contrast": {"kind": "continuous", "static": True},
}
SMALL = {
    "network": {"width": 16, "depth": 2, "heads": 2, "hidden": 32, "dropout": 0.0},
    "units": {"linear_rank": 4},
    "train": {"precision": "fp32", "tensorboard": False, "workers": 0, "batch_size": 8},
}


def make_session(
    name: str, units: int, windows: int = 12, bins: int = 10, seed: int = 0
) -> Session:
    rng = np.random.default_rng([seed, units])
    choice = np.resize(np.array(["left", "right", "right", None], dtype=object), windows)
    wheel = rng.normal(2.0, 3.0, (windows, bins, 1))
    wheel[0, 2] = np.nan
    return Session.of_arrays(
        name,
        rng.poisson(rng.uniform(0.1, 1.5, units), (windows, bins, units)),
        regions=rng.choice(["CA1", "LP", "VISp"], units),
        values={
            "wheel": wheel,
            "pose": rng.normal(size=(windows, bins, 4)),
            "licks": rng.poisson(0.5, (windows, bins, 1)).astype(float),
            "choice": choice,
            "contrast": rng.uniform(size=(windows, 1)),
        },
        subject=name[0],
    )


def make_config(**overrides: Any) -> PopulationConfig:
    return population_config(overrides=merge(merge(SMALL, {"modalities": MODALITIES}), overrides))


def make_corpus(
    sessions: list[Session],
    config: PopulationConfig,
    train: Mapping[str, np.ndarray] | None = None,
) -> Corpus:
    train = train or {s.name: np.arange(len(s)) for s in sessions}
    vocabulary = Vocabulary.of(sessions, train, config.modalities)
    return Corpus(sessions, vocabulary, config)


def make_model(corpus: Corpus, seed: int = 0) -> PopulationModel:
    """A network whose every weight matters: none is left at zero."""
    torch.manual_seed(seed)
    model = PopulationModel(corpus.config, corpus.vocabulary).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        if model.calibration is not None:
            model.calibration.unit_traits.normal_()
        if model.linear is not None:
            model.linear.linear_in.normal_(std=0.3)
            model.linear.direct_in.normal_(std=0.2)
            model.linear.direct_out.normal_(std=0.2)
            lags = np.abs(
                np.subtract.outer(range(corpus.vocabulary.n_bins), range(corpus.vocabulary.n_bins))
            )
            model.linear.linear_kernel[:] = torch.as_tensor(0.8**lags)
            for table in model.linear.behaviour.buffers():
                table.normal_(std=0.2)
    return model


def tensors(batch: Batch) -> Batch:
    """Return a batch as the loop hands it to the network."""
    return to_device(batch, torch.device("cpu"))
