"""Virtual animals with known pose, behaviour and latents, filmed to real video files.

:func:`simulate` writes a whole study. Its parts are public too: the semi-Markov
:class:`BehaviourModel`, the latents that drive the body (:func:`simulate_latents`), the body of a
:class:`Subject` (:func:`articulate`), the :class:`Rig` with its :class:`Camera`, and the
:class:`Renderer`. See :doc:`/simulation`.
"""

from tinbergen._lazy import lazy_exports

_EXPORTS = {
    "MOUSE": "tinbergen.simulation.behaviour",
    "Behaviour": "tinbergen.simulation.behaviour",
    "BehaviourModel": "tinbergen.simulation.behaviour",
    "Bouts": "tinbergen.simulation.behaviour",
    "LATENTS": "tinbergen.simulation.motion",
    "Latents": "tinbergen.simulation.motion",
    "simulate_latents": "tinbergen.simulation.motion",
    "KEYPOINTS": "tinbergen.simulation.body",
    "Body": "tinbergen.simulation.body",
    "Subject": "tinbergen.simulation.subject",
    "articulate": "tinbergen.simulation.body",
    "random_subject": "tinbergen.simulation.subject",
    "Camera": "tinbergen.simulation.scene",
    "Rig": "tinbergen.simulation.scene",
    "random_rig": "tinbergen.simulation.scene",
    "Renderer": "tinbergen.simulation.render",
    "Session": "tinbergen.simulation.study",
    "frame_times": "tinbergen.simulation.study",
    "simulate": "tinbergen.simulation.study",
    "loop_video": "tinbergen.simulation.files",
}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
