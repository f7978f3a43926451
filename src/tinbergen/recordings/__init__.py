"""Recordings: one clock in seconds, many streams, and a reader for each file of the field."""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
