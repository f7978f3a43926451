"""Exact inference in chains of hidden states, discrete and Gaussian; numpy alone.

What the rooms of models share: :mod:`chains` for hidden Markov models, :mod:`gaussian` for latents
that follow linear dynamics.
"""
