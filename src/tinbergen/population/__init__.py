"""One masked transformer over the spikes and the behaviour of many sessions.

:func:`pretrain` hides a part of each window (units, regions, times, behaviours) and learns to
predict it from the rest, so that one network encodes, decodes, fills in and looks ahead.
:func:`adapt` carries it to a new animal, :func:`evaluate` scores it beside classical models, and
:func:`predict` writes predictions. :class:`Population` is all of it as an estimator.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
