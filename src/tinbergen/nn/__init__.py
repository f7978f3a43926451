"""Torch blocks that two or more models share: attention, the vision transformer, losses.

One file an idea: :mod:`~tinbergen.nn.positions` (fixed position tables),
:mod:`~tinbergen.nn.transformer` (attention and blocks), :mod:`~tinbergen.nn.vit` (the vision
transformer), :mod:`~tinbergen.nn.infonce` and :mod:`~tinbergen.nn.masked_mse` (one file a loss),
:mod:`~tinbergen.nn.backbone` (a pretrained transformer out of a run folder) and
:mod:`~tinbergen.nn.foreign` (weights of other projects, by name, loudly).
"""
