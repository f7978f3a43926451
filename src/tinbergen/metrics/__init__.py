"""Every score with its null, its interval and its direction; numpy and scikit-learn only.

:class:`Score` is what a score says of itself; :func:`bootstrap_interval` and
:func:`paired_difference` say how sure it is; :mod:`~tinbergen.metrics.probes` holds the linear
probes of frozen features.
"""

from tinbergen._lazy import lazy_exports

_EXPORTS = {
    "Interval": "tinbergen.metrics.score",
    "Score": "tinbergen.metrics.score",
    "bootstrap_interval": "tinbergen.metrics.bootstrap",
    "effective_rank": "tinbergen.metrics.rank",
    "grouped_folds": "tinbergen.metrics.folds",
    "keypoint_probe": "tinbergen.metrics.probes",
    "paired_difference": "tinbergen.metrics.bootstrap",
    "ridge_path": "tinbergen.metrics.ridge",
    "time_lag_probe": "tinbergen.metrics.probes",
    "class_probe": "tinbergen.metrics.probes",
}
__all__ = sorted(_EXPORTS)  # noqa: PLE0605

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
