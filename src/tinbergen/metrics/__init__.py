"""Every score with its null, its interval and its direction; numpy and scikit-learn only.

:class:`Score` is what a score says of itself; :func:`bootstrap_interval` and
:func:`paired_difference` say how sure it is; :mod:`~tinbergen.metrics.probes` holds the linear
probes of frozen features.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
