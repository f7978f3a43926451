"""Every segmenter by the name that a configuration or the command line calls it."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tinbergen.errors import ConfigError

if TYPE_CHECKING:
    from tinbergen.actions.segmenter import Segmenter

SEGMENTERS: dict[str, tuple[str, str]] = {
    "trees": ("trees", "BoostedTrees"),
    "forest": ("trees", "RandomForest"),
    "logistic": ("trees", "LogisticFrames"),
    "mlp": ("recurrent", "TemporalMLP"),
    "gru": ("recurrent", "GRU"),
    "lstm": ("recurrent", "LSTM"),
    "tcn": ("tcn", "TCN"),
    "tcn_reference": ("tcn", "ReferenceTCN"),
    "mstcn": ("multistage", "MultiStageTCN"),
    "hmm": ("hmm", "HMM"),
    "arhmm": ("arhmm", "ARHMM"),
    "slds": ("slds", "SLDS"),
    "s3lds": ("s3lds", "S3LDS"),
    "mixture": ("mixture", "Mixture"),
}
"""Name -> module of this package and class in it; imported when asked for."""


def new_segmenter(name: str, settings: Mapping[str, Any], seed: int) -> Segmenter:
    """Return a segmenter that is not fitted.

    Raises
    ------
    ConfigError
        If there is none of that name, or a setting is unknown or of no use.
    """
    kind = segmenter_class(name)
    known = list(inspect.signature(kind).parameters)
    for key in settings:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(known)}."
            raise ConfigError(f"settings of {name!r}: there is no {key!r}; {hint}")
    made = kind(**{"random_state": seed, **settings})
    try:
        made.check_parameters()
    except ConfigError as error:
        raise ConfigError(f"settings of {name!r}: {error}") from None
    return made


def segmenter_class(name: str) -> type[Segmenter]:
    """Return the class of a segmenter.

    Raises
    ------
    ConfigError
        If there is none of that name.

    Examples
    --------
    >>> segmenter_class("trees").__name__
    'BoostedTrees'
    """
    if name not in SEGMENTERS:
        close = difflib.get_close_matches(name, SEGMENTERS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(SEGMENTERS)}."
        raise ConfigError(f"There is no segmenter {name!r}; {hint}")
    module, attribute = SEGMENTERS[name]
    return getattr(importlib.import_module(f"tinbergen.actions.{module}"), attribute)
