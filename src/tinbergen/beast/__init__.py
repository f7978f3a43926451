"""BEAST: self-supervised pretraining of a vision transformer on one experiment's videos.

Masked autoencoding plus temporal contrast (Wang et al., arXiv 2507.09513). Frames are chosen
(:mod:`~tinbergen.beast.selection`) and cached (:mod:`~tinbergen.beast.cache`),
:func:`pretrain` learns from them, :func:`embed` turns whole videos into features on their own
frame times, and :mod:`~tinbergen.beast.diagnostics` says whether they are any good.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
