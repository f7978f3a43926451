"""Exact inference in chains of hidden states, discrete and Gaussian; numpy alone.

What the rooms of models share: :func:`forward_backward` and :func:`viterbi` for hidden Markov
models, :func:`smooth` for latents that follow linear dynamics.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
