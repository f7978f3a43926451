"""Tables of an evaluation: means over animals, with intervals over animals and seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tinbergen.errors import DataError
from tinbergen.metrics.bootstrap import bootstrap_interval, ratio_intervals
from tinbergen.metrics.score import Interval

_DOUBTFUL = 0.02  # above chance, mean of a null
_ERRORS = 3.0  # standard errors of that mean: draws of one probe vary much
TRUST = "trust the distant probes: near frames also tell the minute of a recording"
"""What to make of the identity probes."""
PROTOCOLS = ("single", "leave-one-out", "strict")
_KEY = ["method", "protocol", "fraction"]
_COLUMNS = ("balanced_accuracy", "macro_f1", "accuracy", "chance", "majority")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of every method, animal and seed.

    Attributes
    ----------
    actions
        A row a method, seed, protocol, fraction and animal: ``balanced_accuracy``, ``macro_f1``,
        ``accuracy``, a recall for each class; ``chance`` (1 / classes in the test) and
        ``majority`` (accuracy of the commonest action in training).
    wrong
        A row also for each ``null`` (rolled, shuffled) and ``draw``: balanced accuracy of the
        same probe trained on wrong labels.
    identity
        A row a method, seed, space (h or z), probe (distant linear, distant knn, linear, knn)
        and animal: share of its test frames that are told to be its own (``recall``); ``chance``
        is 1 / animals.
    classes
        Actions.
    """

    actions: pd.DataFrame
    wrong: pd.DataFrame
    identity: pd.DataFrame
    classes: tuple[str, ...]

    def summary(self) -> pd.DataFrame:
        """Return a row a method, protocol and fraction: means over animals, of means over seeds.

        ``low`` and ``high`` are a 95 % interval of balanced accuracy: animals, and seeds where
        there are several, are drawn with replacement. ``rolled`` and ``shuffled`` are the means
        of the nulls, ``rolled_high`` and ``shuffled_high`` their 97.5 % points over draws, and
        ``rolled_error`` and ``shuffled_error`` the standard errors of those means.
        """
        if not len(self.actions):
            raise DataError(
                "Nothing could be scored: no animal has labelled frames in training and test. "
                "Label more, or choose another split."
            )
        rows = []
        nulls = self._nulls()
        for key, part in _groups(self.actions, _KEY):
            animals = part.groupby("animal", sort=False)[list(_COLUMNS)].mean()
            low, high = _interval(part, "balanced_accuracy")
            row = dict(zip(_KEY, key, strict=True)) | animals.mean().to_dict()
            row |= {"low": low, "high": high}
            row["n_animals"] = int(animals["balanced_accuracy"].notna().sum())
            row["n_seeds"] = part["seed"].nunique()
            rows.append(row | nulls.get(key, {}))
        return pd.DataFrame(rows)

    def _nulls(self) -> dict[tuple, dict[str, float]]:
        found: dict[tuple, dict[str, float]] = {}
        if not len(self.wrong):
            return found
        for key, part in _groups(self.wrong, [*_KEY, "null"]):
            draws = part.groupby(["seed", "draw"])["balanced_accuracy"].mean()
            each = found.setdefault(key[:-1], {})
            each[key[-1]] = float(draws.mean())
            each[f"{key[-1]}_high"] = float(draws.quantile(0.975))
            each[f"{key[-1]}_error"] = float(draws.std() / np.sqrt(len(draws)))
        return found

    def identity_summary(self) -> pd.DataFrame:
        """Return a row a method, space and probe: mean recall of the animals, and its interval."""
        rows = []
        if not len(self.identity):
            return pd.DataFrame(rows)
        for key, part in _groups(self.identity, ["method", "space", "probe"]):
            low, high = _interval(part, "recall")
            rows.append(
                {
                    "method": key[0],
                    "space": key[1],
                    "probe": key[2],
                    "accuracy": part.groupby("animal")["recall"].mean().mean(),
                    "low": low,
                    "high": high,
                    "chance": part["chance"].mean(),
                    "n_animals": part["animal"].nunique(),
                    "n_seeds": part["seed"].nunique(),
                }
            )
        return pd.DataFrame(rows)

    def table(self) -> pd.DataFrame:
        """Return balanced accuracy (%) in the form of Table 1 of Günel et al. 2022.

        Rows: chance, then the methods; columns: protocol and share of the labels.
        """
        summary: Any = self.summary()
        summary["column"] = [
            f"{protocol} {fraction:g}"
            for protocol, fraction in zip(summary["protocol"], summary["fraction"], strict=True)
        ]
        order = sorted(
            summary["column"].unique(),
            key=lambda c: (PROTOCOLS.index(c.rsplit(" ", 1)[0]), float(c.rsplit(" ", 1)[1])),
        )
        wide = 100 * summary.pivot(index="method", columns="column", values="balanced_accuracy")
        wide = wide.reindex(index=summary["method"].unique(), columns=order)
        chance = 100 * summary.groupby("column")["chance"].mean()[order]
        wide.columns.name = None
        return pd.concat([chance.to_frame("random").T, wide]).rename_axis("method")

    def warnings(self) -> list[str]:
        """Return what makes the scores doubtful: nulls that beat chance, classes never tested."""
        found = []
        for row in self.summary().to_dict("records"):
            for name in ("rolled", "shuffled"):
                surely = row.get(name, 0.0) - _ERRORS * row.get(f"{name}_error", np.inf)
                if surely > row["chance"] + _DOUBTFUL:
                    found.append(
                        f"{row['method']}, {row['protocol']}, labels {row['fraction']:g}: probes "
                        f"of {name} labels score {row[name]:.3f} on average, above chance "
                        f"({row['chance']:.3f}). Some animals do more of an action than others, "
                        "which tells it without a label in its place; or training and test are "
                        "not apart."
                    )
                elif row.get(f"{name}_high", 0.0) >= row["balanced_accuracy"]:
                    found.append(
                        f"{row['method']}, {row['protocol']}, labels {row['fraction']:g}: no "
                        f"better than probes of {name} labels, which reach "
                        f"{row[f'{name}_high']:.3f}."
                    )
        actions: Any = self.actions
        thin = actions[actions["balanced_accuracy"].isna()]["animal"].unique()
        if len(thin):
            found.append(
                f"{', '.join(map(str, thin))}: one action alone in the test frames, left out of "
                "the means. Choose another split."
            )
        fewer = actions[actions["chance"] > 1 / len(self.classes) + 1e-9]["animal"]
        if len(fewer := [a for a in fewer.unique() if a not in set(thin)]):
            found.append(
                f"{', '.join(map(str, fewer))}: not every action occurs in the test frames; their "
                "balanced accuracy is of those that do."
            )
        return found

    def text(self) -> str:
        """Return the tables as lines for a terminal."""
        lines = ["balanced accuracy, %", self.table().to_string(float_format="%.1f", na_rep="-")]
        if len(who := self.identity_summary()):
            columns = ["method", "space", "probe", "accuracy", "low", "high", "chance"]
            lines += [
                "",
                f"which animal; {TRUST}",
                who[columns].to_string(index=False, float_format="%.3f"),
            ]
        return "\n".join([*lines, *(f"warning: {each}" for each in self.warnings())])


def _groups(table: pd.DataFrame, columns: list[str]) -> Iterator[tuple[tuple, Any]]:
    """Yield the rows of each group, in the order of their first."""
    yield from table.groupby(columns, sort=False)  # type: ignore[misc]


def _interval(part: pd.DataFrame, column: str) -> Interval:
    """Bootstrap animals and seeds, each on its own: all animals share the luck of a seed."""
    wide = part.pivot(index="seed", columns="animal", values=column).dropna(axis=1)
    values = wide.to_numpy()
    if len(values) < 2 or values.shape[1] < 2:
        return bootstrap_interval(part[column], part["animal"])
    return ratio_intervals(values, np.ones_like(values)).population
