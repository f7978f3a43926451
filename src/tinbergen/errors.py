"""Errors a user can meet.

Each derives from :class:`TinbergenError` *and* from the built-in that fits, so that both
``except TinbergenError`` and ``except ValueError`` work. The text of each says what was
expected, what was found (file, row, key) and what to do next.
"""

from __future__ import annotations


class TinbergenError(Exception):
    """Base of every error that Tinbergen raises on purpose; the command line exits with 1."""

    exit_code = 1


class ConfigError(TinbergenError, ValueError):
    """A setting is unknown, of the wrong type, or does not fit another; exits with 2."""

    exit_code = 2


class DataError(TinbergenError, ValueError):
    """A file or an array does not hold what it should."""


class VideoError(DataError):
    """A video cannot be opened, or holds no frame that can be decoded."""


class MissingFileError(TinbergenError, FileNotFoundError):
    """A file or folder that was named does not exist."""


class OutputError(TinbergenError, OSError):
    """Results cannot be written: read-only, full, or already there."""


class WeightsError(TinbergenError, ValueError):
    """Saved weights do not fit the model they should go into."""


class DeviceError(TinbergenError, RuntimeError):
    """A device or a precision was asked for that this machine does not have."""


class NotFittedError(TinbergenError, ValueError, AttributeError):
    """A model was asked for results before it was fitted."""


class NonFiniteError(TinbergenError, FloatingPointError):
    """Training met a NaN or an infinity; the text names the step and the items of the batch."""


class PreemptedError(TinbergenError, RuntimeError):
    """A signal asked training to stop; everything is saved and ``--resume`` goes on from there."""

    exit_code = 75
