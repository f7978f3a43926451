"""Models of several kinds that decide together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinbergen.actions.ensembles import Members, combined
from tinbergen.actions.registry import new_segmenter
from tinbergen.actions.segmenter import Arrays, HeldOut, Segmenter
from tinbergen.errors import ConfigError


@dataclass(kw_only=True, eq=False, repr=False)
class Mixture(Members):
    """The mean of models of different kinds, all trained on the same sequences.

    By default a :class:`~tinbergen.actions.TCN`, which sees far but only every fourth frame, and a
    :class:`~tinbergen.actions.TemporalMLP`, which sees every frame but not far: they err in
    different frames, and together they find more bouts.

    Parameters
    ----------
    kinds
        Names of segmenters.
    settings
        Of the constructor of each, by its name.
    random_state
        The same seed gives the same model.

    Attributes
    ----------
    members_
        Fitted, one a kind.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> codes = [np.repeat([0, 1, 0, 1], 50) for _ in range(2)]
    >>> x = [each[:, None] + rng.normal(0, 0.3, (200, 2)) for each in codes]
    >>> pair = Mixture(kinds=("logistic", "hmm"), settings={"hmm": {"n_states": 2}})
    >>> bool(pair.fit(x, codes).score(x, codes) > 0.9)
    True
    """

    kinds: Sequence[str] = ("tcn", "mlp")
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    random_state: int = 0

    def check_parameters(self) -> None:
        """See that the parameters are of use; see :class:`Segmenter`."""
        super().check_parameters()
        if not self.kinds or "mixture" in self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise ConfigError(
                "kinds: expected names of segmenters, each once and none of them a mixture, "
                f"found {list(self.kinds)}."
            )
        strange = [name for name in self.settings if name not in self.kinds]
        if strange:
            raise ConfigError(f"settings: {strange[0]!r} is none of the kinds {list(self.kinds)}.")
        self._new_members()

    def _new_members(self) -> list[Segmenter]:
        return [
            new_segmenter(kind, self.settings.get(kind, {}), self.random_state)
            for kind in self.kinds
        ]

    def _fit(self, features: Arrays, codes: Arrays, validation: HeldOut) -> None:
        self.members_ = [
            member.fit(features, codes, classes=self.classes_, validation=validation)
            for member in self._new_members()
        ]

    def _probabilities(self, features: list[np.ndarray]) -> list[np.ndarray]:
        each = [member.predict_proba(features) for member in self.members_]
        return [combined(of_one).probabilities for of_one in zip(*each, strict=True)]

    @classmethod
    def _kinds(cls, parameters: Mapping[str, Any], n: int) -> list[str]:
        return list(parameters["kinds"])
