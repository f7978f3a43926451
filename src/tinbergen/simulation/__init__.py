"""Virtual animals with known pose, behaviour and latents, filmed to real video files.

:func:`simulate` writes a whole study. Its parts are public too: the semi-Markov
:class:`BehaviourModel`, the latents that drive the body (:func:`simulate_latents`), the body of a
:class:`Subject` (:func:`articulate`), the :class:`Rig` with its camera, and the
:class:`Renderer`. Neurons follow the latents, a task or the frames of a video
(:class:`Population`, :func:`simulate_task`, :func:`visual_cells`); :func:`draw_spikes` and
:func:`simulate_calcium` make recordings of them whose ceiling is known.
:func:`simulate_shared_actions` draws animals that act alike and share no neuron. See
:doc:`/simulation`.
"""

from tinbergen._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
