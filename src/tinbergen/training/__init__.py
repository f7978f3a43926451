"""Training: one loop for every gradient-trained model, run folders, exact resume.

A model gives the loop a :class:`Task`; :func:`fit` trains it into a :class:`RunFolder` as a
:class:`TrainConfig` says. Everything random is a pure function of (seed, step, rank), so the same
seed gives the same bytes on CPU, and a run that was killed and resumed equals one that was not.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
