"""Actions: what an animal does in every frame, from keypoints, embeddings or any signal.

Segmenters are estimators on lists of sequences, one a recording: ``fit(features, codes)``,
``predict_proba``, ``predict``, ``score``, ``save`` and ``load``. :func:`segmenter_class` finds one
by its name (``tcn``, ``trees``, ``hmm``, ...).
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
