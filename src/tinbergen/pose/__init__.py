"""Pose: keypoints of animals from a hundred labelled frames.

:func:`train` learns from a DeepLabCut or Lightning Pose project as it is; :func:`predict` turns
whole videos into keypoints on their own frame times; :func:`evaluate` says how far off they are;
:func:`smooth` joins the predictions of several runs (ensemble Kalman smoother). Of look-alike
animals, :func:`track` links those of single frames, and :func:`identify` tells who is who.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
