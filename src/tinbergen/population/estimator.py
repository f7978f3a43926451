"""The population model as an estimator: fit, adapt, predict, score, save and load."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tinbergen.configuration import merge
from tinbergen.errors import ConfigError, NotFittedError, OutputError
from tinbergen.population.config import Preset
from tinbergen.population.questions import SPIKES
from tinbergen.recordings import Recording
from tinbergen.training import RunFolder

if TYPE_CHECKING:
    from tinbergen.population.evaluation import Evaluation
    from tinbergen.population.model_run import PopulationRun
    from tinbergen.population.pretraining import Data, Parts, Strategy
    from tinbergen.population.sessions import Session


class Population:
    """One masked transformer over the spikes and the behaviour of one or many sessions.

    Parameters
    ----------
    preset
        ``tinbergen``, ``neds``, ``mtm`` or ``ndt2``; see :func:`population_config`.
    modalities
        Name -> settings of what is known beside the spikes, such as ``{"wheel": {"source":
        "wheel/velocity"}, "choice": {"kind": "categorical", "static": True, "source":
        "trials/choice"}}``.
    windows
        Which windows are cut out: ``{"align": "stim_on", "before": 0.5, "after": 1.5}``.
    settings
        Further settings laid over the preset, such as ``{"train": {"steps": 200}}``.
    out
        Run folder; by default a temporary one that :meth:`save` copies.

    Attributes
    ----------
    run_
        The run folder of the fitted model.

    Examples
    --------
    ::

        brain = tb.population.Population(modalities=modalities, windows=windows).fit(data)
        rates = brain.adapt(other).predict(other["c"], given=["wheel"], target="spikes")
    """

    run_: RunFolder

    def __init__(
        self,
        preset: Preset = "tinbergen",
        *,
        modalities: Mapping[str, Mapping[str, Any]] | None = None,
        windows: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        out: str | os.PathLike | None = None,
    ):
        self.preset: Preset = preset
        self.modalities = modalities
        self.windows = windows
        self.settings = settings
        self.out = out
        self._temporary: tempfile.TemporaryDirectory | None = None

    def fit(self, data: Data | Recording, *, parts: Parts | None = None) -> Self:
        """Train on recordings or sessions; see :func:`pretrain`."""
        from tinbergen.population.pretraining import pretrain

        given = {"modalities": self.modalities or {}, "windows": self.windows or {}}
        overrides = merge(given, self.settings or {})
        self.run_ = pretrain(
            _data(data), self._folder(self.out), preset=self.preset, overrides=overrides,
            parts=parts,
        )  # fmt: skip
        return self

    def adapt(
        self,
        data: Data | Recording,
        *,
        strategy: Strategy = "gradual",
        settings: Mapping[str, Any] | None = None,
        parts: Parts | None = None,
        out: str | os.PathLike | None = None,
    ) -> Population:
        """Return a model of new sessions whose core is this one's; see :func:`adapt`."""
        from tinbergen.population.pretraining import adapt

        base = self._fitted()
        model = Population(
            self.preset, modalities=self.modalities, windows=self.windows,
            settings=self.settings, out=out,
        )  # fmt: skip
        model.run_ = adapt(
            base, _data(data), model._folder(out), strategy=strategy, overrides=settings,
            parts=parts,
        )  # fmt: skip
        return model

    def predict(
        self,
        session: Recording | Session,
        given: Sequence[str],
        target: str = SPIKES,
        **options: Any,
    ) -> np.ndarray:
        """Predict one thing from others in the windows of a session that the model knows.

        Parameters and result as of :meth:`PopulationRun.predict`, where the session is a name.
        """
        return self.open(session).predict(session.name, given, target, **options)

    def score(self, data: Data | Recording, **options: Any) -> Evaluation:
        """Score the test windows beside classical models; see :func:`evaluate`.

        The evaluation lies in the run folder, and :meth:`save` copies it.
        """
        from tinbergen.population.evaluation import evaluate

        return evaluate(self._fitted(), _data(data), **options)

    def open(self, data: Data | Recording | Session) -> PopulationRun:
        """Return the model with data to ask it about."""
        from tinbergen.population.model_run import PopulationRun

        return PopulationRun(self._fitted(), _data(data))

    def save(self, path: str | os.PathLike) -> Path:
        """Copy the run folder to ``path``.

        Raises
        ------
        OutputError
            If there is something already.
        """
        path = Path(path)
        if path.exists():
            raise OutputError(f"{path} exists already. Choose another folder.")
        partial = path.with_name(f".{path.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(self._fitted().path, partial, ignore=shutil.ignore_patterns(".lock"))
        os.replace(partial, path)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Open a run folder of :func:`pretrain`, :func:`adapt` or :meth:`save`."""
        from tinbergen.population.pretraining import load_vocabulary

        run = RunFolder.open(path)
        load_vocabulary(run)
        config = run.config
        model = cls(
            config.pop("preset"),
            modalities=config.pop("modalities"),
            windows=config.pop("windows"),
            settings=config,
            out=path,
        )
        model.run_ = run
        return model

    def _fitted(self) -> RunFolder:
        if not hasattr(self, "run_"):
            raise NotFittedError("This Population is not fitted; call fit, or load a run.")
        return self.run_

    def _folder(self, out: str | os.PathLike | None) -> Path:
        if out is not None:
            return Path(out)
        self._temporary = tempfile.TemporaryDirectory(prefix="population-")
        return Path(self._temporary.name) / "run"


def _data(data: Any) -> Any:
    """Return data as the functions take it; one recording or session stands for a list of it."""
    from tinbergen.population.sessions import Session

    if isinstance(data, Recording):
        return {data.name: data}
    if isinstance(data, Session):
        return [data]
    if data is None:
        raise ConfigError("Expected recordings or sessions, found None.")
    return data
