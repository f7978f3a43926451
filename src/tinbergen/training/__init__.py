"""Training: one loop for every gradient-trained model, run folders, exact resume.

A model gives the loop a :class:`Task`; :func:`fit` trains it into a :class:`RunFolder` as a
:class:`TrainConfig` says. Everything random is a pure function of (seed, step, rank), so the same
seed gives the same bytes on CPU, and a run that was killed and resumed equals one that was not.
"""

from tinbergen._lazy import lazy_exports

_HOMES = {
    "config": ("TrainConfig",),
    "fitting": ("FitResult", "fit"),
    "randomness": ("derive_seed", "numpy_generator", "torch_generator"),
    "run": ("RunFolder",),
    "sampler": ("EpochSampler", "Sampler", "shard"),
    "task": ("Task",),
}
_EXPORTS = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
