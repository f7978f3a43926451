"""Tinbergen: from an animal's video and its spikes to what it did and what its brain encodes.

Rooms, from data to results: :mod:`~tinbergen.recordings`, :mod:`~tinbergen.simulation`,
:mod:`~tinbergen.metrics`, :mod:`~tinbergen.nn`, :mod:`~tinbergen.training`,
:mod:`~tinbergen.beast`, :mod:`~tinbergen.report`, :mod:`~tinbergen.cli`. Each is imported at
first use, so that ``import tinbergen`` stays quick and needs no torch.
"""

from tinbergen._lazy import lazy_exports

__version__ = "0.1.0"

_ROOMS = ("beast", "metrics", "nn", "recordings", "report", "simulation", "training")
_EXPORTS = {room: f"tinbergen.{room}" for room in _ROOMS}
_EXPORTS |= {
    name: "tinbergen.recordings"
    for name in ("Dataset", "Keypoints", "Labels", "Recording", "Series", "Spikes", "Trials", "Video")
}
_EXPORTS |= {"simulate": "tinbergen.simulation"}

__all__ = [*sorted(_EXPORTS), "__version__"]  # noqa: PLE0604

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
