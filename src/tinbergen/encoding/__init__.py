"""Encoding and decoding with the classical models: what behaviour tells of spikes, and back.

Every model is an estimator on arrays: ``fit(X, Y, segments=..., validate=...)``, ``predict``,
``save`` and ``load``. They are the baselines that every deep model has to beat, so each chooses
its penalty on validation rows and is fitted as fast as its algebra allows.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
