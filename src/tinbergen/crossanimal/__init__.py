"""Neural representations that tell the action and not the animal, from pose and without labels.

:class:`Animal` holds the paired recordings of one animal, :class:`CrossAnimal` learns from several
of them one representation for all, and carries it to the next animal.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
