"""From rows of single units and targets to one number a question and method, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tinbergen.metrics import (
    Interval,
    Score,
    bootstrap_interval,
    hierarchical_interval,
    paired_test,
)
from tinbergen.metrics.score import Baseline
from tinbergen.population.baselines import MAJORITY, MEAN_RATE, TRAINING_MEAN
from tinbergen.population.session_answers import OWN

SHUFFLED = "shuffled regions"
NULLS = (MEAN_RATE, MAJORITY, TRAINING_MEAN, SHUFFLED)
"""Methods that are the null of a score, and no baseline."""
_ENOUGH_SESSIONS = 6  # to flip the signs of whole sessions: p can fall below 0.05


def task_table(scores: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Summarise ``scores.csv``: a row a question and method.

    Returns
    -------
    DataFrame
        ``score, method, mean, low, high, pooled, against_test_mean, unit, n, recordings``, then
        the network less the method, paired over units (or recordings, for behaviours):
        ``difference, difference_low, difference_high, p, flipped, better``. Intervals are over
        recordings and units where there are several recordings, else over units (of a behaviour:
        over windows). The sign-flip test flips whole recordings where there are at least 6, else
        units: ``flipped`` says which.
    """
    rows = []
    kept: Any = scores[scores["kind"] != "class"]
    for title, group in kept.groupby("score", sort=False):
        own = _values(group[group["features"] == OWN])
        for method, part in group.groupby("features", sort=False):
            mine = _values(part)
            rows.append(
                {"score": title, "task": part["task"].iloc[0], "method": method}
                | _mean(part, mine, seed)
                | ({} if method == OWN else _difference(own, mine, seed))
            )
    return pd.DataFrame(rows)


def _values(rows: Any) -> Any:
    """Return the values that a mean is taken over, a series by recording and unit."""
    if rows["kind"].iloc[0] == "unit":
        return rows.set_index(["recording", "name"])["value"]
    means: Any = rows.groupby("recording", sort=False)["value"].mean()
    return pd.concat({"": means}).swaplevel()


def _mean(rows: Any, values: Any, seed: int) -> dict[str, Any]:
    recordings = values.index.get_level_values(0).to_numpy(str)
    known = values.notna().to_numpy()
    found: dict[str, Any] = {
        "mean": values.mean(),
        "unit": rows["unit"].iloc[0],
        "n": int(known.sum()),
        "recordings": len(set(recordings[known])),
    }
    if rows["kind"].iloc[0] == "unit":
        interval = hierarchical_interval(values.to_numpy(), recordings, seed=seed)
        spikes = rows["n"].sum()
        found["pooled"] = rows["bits"].sum() / spikes if spikes else np.nan
        found["against_test_mean"] = rows["against_test_mean"].mean()
    elif len(values) > 1:
        interval = bootstrap_interval(values.to_numpy(), seed=seed)
    else:  # one recording: that over its windows
        alone = rows.iloc[0] if len(rows) == 1 else {}
        interval = Interval(alone.get("low", np.nan), alone.get("high", np.nan))
    return found | {"low": interval.low, "high": interval.high}


def _difference(own: Any, other: Any, seed: int) -> dict[str, Any]:
    ours, theirs = own.align(other, join="inner")
    recordings = ours.index.get_level_values(0).to_numpy(str)
    both = (ours.notna() & theirs.notna()).to_numpy()
    n = len(set(recordings[both]))
    if not both.any():
        return {}
    ours, theirs, recordings = ours[both].to_numpy(), theirs[both].to_numpy(), recordings[both]
    many = n >= _ENOUGH_SESSIONS
    test = paired_test(ours, theirs, recordings if many else None, seed=seed)
    interval = test.interval
    if n > 1 and not many:
        interval = hierarchical_interval(ours - theirs, recordings, seed=seed)
    return {
        "difference": test.mean,
        "difference_low": interval.low,
        "difference_high": interval.high,
        "p": test.p,
        "flipped": "recordings" if many else "units",
        "better": test.better,
    }


def score_of(title: str, tasks: pd.DataFrame, scores: pd.DataFrame, said: str) -> Score:
    """Return the network's score of a question, with its null and the baselines beside it.

    Parameters
    ----------
    tasks
        From :func:`task_table`.
    scores
        Rows of ``scores.csv``.
    said
        What was predicted from what, for the caption.
    """
    rows: Any = tasks[tasks["score"] == title].set_index("method")
    own = rows.loc[OWN]
    each: Any = scores[(scores["score"] == title) & (scores["features"] == OWN)]
    spikes = each["kind"].iloc[0] == "unit"
    classes = each["kind"].iloc[0] == "target"
    several = own["recordings"] > 1
    over = "recordings and units" if spikes and several else "units" if spikes else None
    over = over or ("recordings" if several else "windows")
    what = "Mean over units of bits/spike" if spikes else "Balanced accuracy" if classes else "R2"
    return Score(
        title,
        own["mean"],
        own["unit"],
        null=0.0 if spikes else each["null"].mean(),
        null_name="chance" if classes else "training mean",
        interval=Interval(own["low"], own["high"]),
        interval_name=f"95 % bootstrap over {over}",
        baselines=tuple(
            Baseline(str(method), row["mean"], Interval(row["low"], row["high"]))
            for method, row in rows.iterrows()
            if method not in (OWN, *NULLS) and np.isfinite(row["mean"])
        ),
        n=int(own["n"]),
        n_name="units" if spikes else "recordings",
        split="later windows than those of training",
        method=f"{what}: {said}.",
    )
