"""Tinbergen: from an animal's video and its spikes to what it did and what its brain encodes.

Rooms, from data to results: :mod:`~tinbergen.recordings`, :mod:`~tinbergen.simulation`,
:mod:`~tinbergen.metrics`, :mod:`~tinbergen.nn`, :mod:`~tinbergen.training`,
:mod:`~tinbergen.beast`, :mod:`~tinbergen.pose`, :mod:`~tinbergen.actions`,
:mod:`~tinbergen.encoding`, :mod:`~tinbergen.population`, :mod:`~tinbergen.crossanimal`,
:mod:`~tinbergen.report`, :mod:`~tinbergen.study`, :mod:`~tinbergen.cli`. Each is imported at
first use, so that ``import tinbergen`` stays quick and needs no torch.
"""

from tinbergen._lazy import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(__name__, __file__)
