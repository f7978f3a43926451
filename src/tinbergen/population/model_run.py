"""A trained population model, ready to be asked."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from tinbergen.configuration import resolve
from tinbergen.errors import ConfigError, DataError, WeightsError
from tinbergen.population.asking import SPIKES, Asker, SpikeTask
from tinbergen.population.config import PopulationConfig
from tinbergen.population.corpus import Corpus
from tinbergen.population.model import PopulationModel
from tinbergen.population.pretraining import Data, known_sessions, load_vocabulary, open_sessions
from tinbergen.training import RunFolder


class PopulationRun:
    """A finished run of :func:`pretrain` or :func:`adapt`, and the data to ask it about.

    Parameters
    ----------
    run
        The run folder.
    data
        Recordings or sessions; those that the model does not know are left aside.

    Raises
    ------
    DataError
        If the model knows none of the sessions, or one is not as it was.
    WeightsError
        If the run is of a version of Tinbergen whose models had other tables.
    """

    def __init__(self, run: RunFolder | str | os.PathLike, data: Data):
        self.run = run if isinstance(run, RunFolder) else RunFolder.open(run)
        self.vocabulary = load_vocabulary(self.run)
        self.config = resolve(PopulationConfig, self.run.config)
        self.sessions = known_sessions(open_sessions(data, self.config), self.vocabulary)
        bins = self.vocabulary.n_bins
        if wrong := [s for s in self.sessions if s.counts.shape[1] != bins]:
            raise DataError(
                f"Session {wrong[0].name!r}: expected windows of {bins} bins, as in "
                f"{self.run.path}, found {wrong[0].counts.shape[1]}."
            )
        self.corpus = Corpus(self.sessions, self.vocabulary, self.config)
        self.model = PopulationModel(self.config, self.vocabulary).eval()
        saved, own = self.run.load_weights(), self.model.state_dict()
        if {k: v.shape for k, v in saved.items()} != {k: v.shape for k, v in own.items()}:
            raise WeightsError(
                f"{self.run.path}: its tables are those of another version of Tinbergen. Train it "
                "anew with this version, or use it with the one that made it."
            )
        self.model.load_state_dict(saved)
        self.asker = Asker(self.model, self.corpus)

    def predict(
        self,
        session: str,
        given: Sequence[str],
        target: str = SPIKES,
        *,
        task: SpikeTask | None = None,
        windows: np.ndarray | None = None,
        folds: int | None = None,
        future: int | None = None,
    ) -> np.ndarray:
        """Predict one thing from others, in windows of one session.

        Parameters
        ----------
        given
            Names of what is visible: ``"spikes"`` and modalities.
        target
            ``"spikes"``, or a modality that is not given.
        task
            When spikes are given and asked for: ``co_smoothing`` (the default), ``intra_region``,
            ``inter_region`` or ``forward``; see :meth:`Asker.spikes`.
        windows
            Rows of the session; default: all.
        folds
            Of co-smoothing within and across regions; None: exactly one unit at a time.
        future
            Bins of ``forward``; default: a tenth of the window.

        Returns
        -------
        Spikes: ``(window, time, unit)`` spikes/bin. Others: see :meth:`Asker.decoding`.

        Examples
        --------
        Encoding from two behaviours, decoding, and each unit from all others::

            rates = model.predict("mouse1", ["wheel", "choice"])
            wheel = model.predict("mouse1", ["spikes"], "wheel")
            rates = model.predict("mouse1", ["spikes"])
        """
        if windows is None:
            windows = np.arange(len(self.corpus.counts(session)))
        others = [name for name in given if name != SPIKES]
        if target != SPIKES:
            if target not in self.config.modalities:
                raise ConfigError(
                    f"The model knows no {target!r}; it knows "
                    f"{', '.join([SPIKES, *self.config.modalities])}."
                )
            return self.asker.decoding(session, windows, target, given)
        if SPIKES not in given:
            return self.asker.encoding(session, windows, others)
        future = future or max(1, round(0.1 * self.vocabulary.n_bins))
        return self.asker.spikes(
            session, windows, task or "co_smoothing", others, folds=folds, future=future
        )
