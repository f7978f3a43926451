"""Every score with its null, its interval and its direction; numpy and scikit-learn only.

:class:`Score` is what a score says of itself; :mod:`~tinbergen.metrics.bootstrap` says how sure it
is, over units, trials and sessions, and compares two models; :mod:`~tinbergen.metrics.nulls` says
what chance would score. Counts are scored in :mod:`~tinbergen.metrics.poisson`, continuous values
in :mod:`~tinbergen.metrics.regression`, classes in :mod:`~tinbergen.metrics.classification`,
behaviour over time frame by frame in :mod:`~tinbergen.metrics.frames` and bout by bout in
:mod:`~tinbergen.metrics.segments`;
:mod:`~tinbergen.metrics.explainable` bounds what there is to explain;
:mod:`~tinbergen.metrics.probes` holds the linear probes of frozen features.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
