"""BEAST: self-supervised pretraining of a vision transformer on one experiment's videos.

Masked autoencoding plus temporal contrast (Wang et al., arXiv 2507.09513). Frames are chosen
(:mod:`~tinbergen.beast.selection`) and cached (:mod:`~tinbergen.beast.cache`),
:func:`pretrain` learns from them, :func:`embed` turns whole videos into features on their own
frame times, and :mod:`~tinbergen.beast.diagnostics` says whether they are any good.
"""

from tinbergen._lazy import lazy_exports

_HOMES = {
    "augment": ("Augmentation",),
    "cache": ("CacheConfig", "FrameCache"),
    "cache_build": ("build_cache",),
    "config": ("PRESETS", "BeastConfig", "beast_config"),
    "diagnostics": ("evaluate_run",),
    "embedder": ("Embedder", "embed"),
    "embedding": ("Embedding", "open_embeddings", "write_nwb"),
    "export": ("export_lightning_pose",),
    "pretraining": ("pretrain",),
    "selection": ("Selection",),
}
_EXPORTS = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
