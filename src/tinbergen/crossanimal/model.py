"""The model across animals as an estimator: fit, adapt, transform, save and load."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast, overload

import numpy as np

from tinbergen.configuration import merge, resolve
from tinbergen.crossanimal.config import CrossAnimalConfig, Objective
from tinbergen.crossanimal.pairs import Animal, animals_of
from tinbergen.errors import ConfigError, DataError, MissingFileError, NotFittedError
from tinbergen.files import write_json
from tinbergen.recordings import Dataset, Recording, Series
from tinbergen.training import RunFolder

if TYPE_CHECKING:
    from tinbergen.crossanimal.neighbours import Neighbours
    from tinbergen.crossanimal.network import CrossAnimalNet

Animals = Dataset | Mapping[str, Recording] | Iterable[Animal | Recording]
SHAPE_FILE = "animals.json"


class CrossAnimal:
    """Neural features of several animals that tell what they do, learnt from their poses.

    Gunel, Aymanns, Honari, Ramdya & Fua, "Overcoming the domain gap in contrastive learning of
    neural action representations", IJCV 2022, with an input layer for each animal where neurons
    are given instead of images, and negatives of the same animal.

    Parameters
    ----------
    objective
        ``contrast``: find the pose of a neural window among others (InfoNCE, both ways);
        ``simclr``: find the other view of a neural window; ``regression``: predict the pose;
        ``syllables``: predict the state of an autoregressive hidden Markov model of the pose.
    settings
        Laid over the defaults of :class:`CrossAnimalConfig`.
    neural, pose
        Names of the streams, where recordings are given; see :func:`animals_of`.
    bin_width, trials
        See :func:`animals_of`.
    random_state
        Seed; default: that of the settings.
    out
        Run folder; default: kept in memory until :meth:`save`.

    Attributes
    ----------
    config_
        The resolved settings.
    neighbours_
        Table and diagnostics of like poses, if it swapped.
    metrics_
        The last losses, ``validation_loss`` among them if there was something to validate with.

    Examples
    --------
    ::

        model = CrossAnimal(random_state=0).fit(animals)
        features = model.transform(animals[0])        # (time, members * output)
        features = model.adapt(newcomer).transform(newcomer)
    """

    config_: CrossAnimalConfig
    neighbours_: Neighbours | None
    metrics_: dict[str, float]

    def __init__(
        self,
        objective: Objective = "contrast",
        *,
        settings: Mapping[str, Any] | None = None,
        neural: str = "neural",
        pose: str | Sequence[str] = "pose",
        bin_width: float | None = None,
        trials: str | None = None,
        random_state: int | None = None,
        out: str | os.PathLike | None = None,
    ):
        self.objective: Objective = objective
        self.settings = settings
        self.neural = neural
        self.pose = pose
        self.bin_width = bin_width
        self.trials = trials
        self.random_state = random_state
        self.out = out

    def fit(
        self, animals: Animals, validation: Animals | None = None, *, resume: bool = False
    ) -> Self:
        """Train on all animals together, without labels.

        Parameters
        ----------
        animals
            What is trained on, and nothing else: cut it with :meth:`Animal.between`. Their order
            does not matter.
        validation
            Other frames of the same animals, which choose the weights; default: the last ones.
        resume
            Go on with the run at ``out``, if there is one.

        Raises
        ------
        ConfigError, DataError
            For settings that do not exist, or animals that do not fit them or each other.
        """
        from tinbergen.crossanimal.fitting import fit_model

        config = resolve(CrossAnimalConfig, self._settings())
        given = self._animals(animals)
        checked = [] if validation is None else self._animals(validation)
        out = None if self.out is None else Path(self.out)
        result, self.neighbours_ = fit_model(config, given, checked, out, resume)
        self._net = cast("CrossAnimalNet", result.model)
        self.metrics_ = result.metrics
        self.config_ = config
        return self

    @property
    def animals_(self) -> tuple[str, ...]:
        """Names of the animals that there is an input layer for."""
        return self._fitted().shape.names

    @overload
    def transform(self, animal: Animal, space: Literal["h", "z"] = "h") -> np.ndarray: ...

    @overload
    def transform(self, animal: Recording, space: Literal["h", "z"] = "h") -> Series: ...

    def transform(
        self, animal: Animal | Recording, space: Literal["h", "z"] = "h"
    ) -> np.ndarray | Series:
        """Return features of each neural frame, ``(time, dimension)`` float32.

        NaN in no segment, and with a warning where no neuron is known.
        ``h`` is what the neural encoder says, ``z`` what the loss compares. A Series for a
        recording. Poses are not looked at.

        Raises
        ------
        DataError
            If there is no input layer for the animal, or its neurons are not those of then.
        """
        from tinbergen.crossanimal.embedding import embed

        if space not in ("h", "z"):
            raise ConfigError(f"Expected space 'h' or 'z', found {space!r}.")
        each = self._animals([animal])[0]
        values = embed(self._fitted(), each, self.config_, space)
        if not isinstance(animal, Recording):
            return values
        names = tuple(f"{space}{i}" for i in range(values.shape[1]))
        return Series(each.times, values, names)

    def fit_transform(self, animals: Animals) -> dict[str, np.ndarray]:
        """Fit, and return the features of each animal by name."""
        given = self._animals(animals)
        self.fit(given)
        return {each.name: self.transform(each) for each in given}

    def adapt(
        self, animal: Animal | Recording, *, settings: Mapping[str, Any] | None = None
    ) -> CrossAnimal:
        """Return a model that knows one more animal; this one stays as it is.

        Traces get an input layer, trained with the animal's own poses and without labels under
        shared weights that stay as they are; with images nothing has to be trained.

        Parameters
        ----------
        settings
            Of ``train`` and ``augment``, laid over those of the fit, such as
            ``{"train": {"steps": 200}}``.

        Raises
        ------
        ConfigError
            For settings that belong to the network or its objective.
        DataError
            If the model knows the animal, or it does not fit the others.
        """
        from tinbergen.crossanimal.fitting import adapt_model

        net, given = self._fitted(), settings or {}
        if other := sorted(set(given) - {"train", "augment"}):
            raise ConfigError(
                f"adapt: expected settings of train or augment, found {', '.join(other)}: the "
                "rest of the network stays as it is."
            )
        config = resolve(CrossAnimalConfig, self.config_.model_dump(), given)
        model = CrossAnimal(
            self.objective, settings=self.settings, neural=self.neural, pose=self.pose,
            bin_width=self.bin_width, trials=self.trials, random_state=self.random_state,
        )  # fmt: skip
        model._net = adapt_model(net, config, self._animals([animal])[0])
        model.config_, model.neighbours_ = self.config_, self.neighbours_
        model.metrics_ = self.metrics_
        return model

    def save(self, path: str | os.PathLike) -> Path:
        """Write a run folder.

        Raises
        ------
        OutputError
            If there is something already.
        """
        net, path = self._fitted(), Path(path)
        run = RunFolder.create(path, self.config_, seed=self.config_.train.seed)
        try:
            write_json(path / SHAPE_FILE, net.shape.to_dict())
            run.save_weights(net.state_dict(), {})
            run.update_status(state="done", reason="saved", metrics=self.metrics_)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return path

    @classmethod
    def load(cls, path: str | os.PathLike, **streams: Any) -> Self:
        """Open a run folder of :meth:`save` or of ``out``.

        Parameters
        ----------
        streams
            ``neural``, ``pose``, ``bin_width`` and ``trials``, as of the constructor.

        Raises
        ------
        MissingFileError
            If there is no such run.
        """
        from tinbergen.crossanimal.network import CrossAnimalNet, Shape

        run = RunFolder.open(path)
        file = run.path / SHAPE_FILE
        if not file.is_file():
            raise MissingFileError(f"Expected {file}, found none: no model across animals.")
        config = resolve(CrossAnimalConfig, run.config)
        model = cls(config.objective, settings=config.model_dump(), out=path, **streams)
        shape = Shape.from_dict(json.loads(file.read_text(encoding="utf-8")))
        # Discriminators are of use in training alone, and an adapted model has none.
        alone = config.updated(domain=config.domain.updated(kind="none"))
        weights = {k: v for k, v in run.load_weights().items() if ".domain." not in k}
        model._net = CrossAnimalNet(alone, shape).eval()
        model._net.load_state_dict(weights)
        model.config_, model.neighbours_ = config, None
        model.metrics_ = dict(run.status.get("metrics", {}))
        return model

    def _settings(self) -> dict[str, Any]:
        given = merge({"objective": self.objective}, self.settings or {})
        if given["objective"] != self.objective:
            raise ConfigError(
                f"objective is {self.objective!r}, but {given['objective']!r} in the settings."
            )
        if self.random_state is not None:
            given = merge(given, {"train": {"seed": int(self.random_state)}})
        return given

    def _animals(self, data: Animals) -> list[Animal]:
        if isinstance(data, Animal | Recording):
            data = [data]
        items = list(data.values() if isinstance(data, Mapping) else data)
        made = []
        for item in items:
            if isinstance(item, Recording):
                item = animals_of(
                    item, self.neural, self.pose, bin_width=self.bin_width, trials=self.trials
                )[0]
            if not isinstance(item, Animal):
                raise DataError(f"Expected animals or recordings, found {type(item).__name__}.")
            made.append(item)
        return made

    def _fitted(self) -> CrossAnimalNet:
        if not hasattr(self, "_net"):
            raise NotFittedError("This CrossAnimal is not fitted; call fit, or load a run.")
        return self._net
