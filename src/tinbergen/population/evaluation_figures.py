"""Material for the report's figures: tables and arrays in ``diagnostics/``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tinbergen.files import atomic_write, write_json
from tinbergen.metrics import psth_r2
from tinbergen.population.session_answers import Answer, SessionAnswers
from tinbergen.recordings.smoothing import smooth

if TYPE_CHECKING:
    from tinbergen.population.evaluation import Evaluation

_UNITS, _TRIALS, _EXAMPLES, _BINS = 400, 400, 6, 1000
_CLASSES = 4
_TRACE, _TRACED = 1200, 3  # rows of a trace; recordings
_MAPPED = 3000
_PLAIN = ("Co-smoothing", "Forward prediction", "Intra-region", "Inter-region")


def write_figures(folder: Path, result: Evaluation) -> None:
    """Write everything that the report draws of an evaluation."""
    folder.mkdir()
    captions: dict[str, Any] = {}
    write_table(folder / "tasks.csv", result.tasks)
    captions["tasks"] = {
        "note": "Difference: the network less the method, paired over units (of behaviours: over "
        "recordings), with a 95 % interval; p: sign-flip test over what its column says. Pooled: "
        "bits of all units over spikes of all units. Against test mean: where the null is the "
        "mean of the scored bins, as in the papers."
    }
    if len(result.lineage) > 1:
        write_table(folder / "lineage.csv", result.lineage)
    if len(result.transfer):
        write_table(folder / "transfer.csv", result.transfer)
        captions["transfer"] = {
            "unit": "bits/spike",
            "note": "Mean over the units of a region; null: their mean rate in training. On the "
            "diagonal each unit from the others of its region.",
        }
    captions["units"] = _units(folder, result.scores)
    captions["embedding_map"] = _map(folder, result.units)
    answers = result.answers
    captions |= _rates(folder, answers, result.bin, result.start, result.scores)
    captions["decoded"] = _decoded(folder, answers, result)
    captions["confusion"] = _confusion(folder, answers, result)
    write_json(folder / "figures.json", {k: v for k, v in captions.items() if v})


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV; an empty cell is "not known"."""
    with atomic_write(path) as file:
        table.to_csv(file, index=False, lineterminator="\n")


def _units(folder: Path, scores: pd.DataFrame) -> dict[str, Any]:
    """Keep the four tasks from spikes to spikes, and encoding from everything."""
    rows: Any = scores[scores["kind"] == "unit"]
    if not len(rows):
        return {}
    encodings = rows.loc[rows["task"] == "encoding", "score"].unique()
    shown = [*_PLAIN, *encodings[-1:]]
    rows = rows[rows["score"].isin(shown) & (rows["features"] != "mean rate")]
    table = pd.DataFrame(
        {
            "recording": rows["recording"],
            "unit": rows["name"],
            "region": rows["region"],
            "depth": np.nan,
            "predictor": rows["features"],
            "score": rows["score"],
            "value": rows["value"],
            "null": np.nan,
            "low": rows["low"],
            "high": rows["high"],
        }
    )
    write_table(folder / "units.csv", table)
    return {"noun": "neuron", "unit": dict.fromkeys(shown, "bits/spike")}


def _map(folder: Path, units: pd.DataFrame) -> dict[str, Any]:
    """Lay the vectors of units out in a plane; ``units`` has them in the column ``vector``."""
    if len(units) < 3:
        return {}
    if len(units) > _MAPPED:
        kept = np.linspace(0, len(units) - 1, _MAPPED).astype(int)
        units = units.iloc[np.unique(kept)]
    places, method = plane(np.stack(units["vector"].tolist()))
    table = pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "recording": units["recording"]})
    table = table.assign(
        time=np.nan, region=units["region"], rate=units["rate"], unit=units["unit"].astype(str)
    )
    write_table(folder / "embedding_map.csv", table.drop(columns="unit"))
    return {
        "method": method,
        "noun": "unit",
        "units": {"rate": "Hz"},
        "note": "Each point is a unit: its vectors into and out of the network. Regions and rates "
        "were not given.",
    }


def plane(vectors: np.ndarray) -> tuple[np.ndarray, str]:
    """Return places ``(unit, 2)`` of vectors ``(unit, n)``, and how they were found."""
    from sklearn.decomposition import PCA

    z = (vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 1e-9)
    components = min(30, len(z) - 1, z.shape[1])
    reduced = PCA(components, random_state=0).fit_transform(z)
    if len(z) < 100:
        return reduced[:, :2], "Vectors of units on two principal components"
    from sklearn.manifold import TSNE

    found = TSNE(2, init="pca", perplexity=30, random_state=0).fit_transform(reduced)
    return found, f"t-SNE (perplexity 30) of {components} principal components of vectors of units"


# ---- rates


def _rates(
    folder: Path,
    answers: Sequence[SessionAnswers],
    width: float,
    start: float,
    scores: pd.DataFrame,
) -> dict[str, Any]:
    """Draw co-smoothing of the session with the most units: averages, single trials, raster."""
    with_rates = [a for a in answers if "Co-smoothing" in a.answers]
    if not with_rates:
        return {}
    shown = max(with_rates, key=lambda a: a.session.n_units)
    answer = shown.answers["Co-smoothing"]
    mine: Any = scores[
        (scores["recording"] == shown.session.name)
        & (scores["score"] == "Co-smoothing")
        & (scores["features"] == scores["features"].iloc[0])
    ]
    values = mine["value"].to_numpy()
    best = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")[:_UNITS]
    label, groups = _conditions(shown)
    common = {"recording": shown.session.name, "unit": "spikes/s", "bin": width}
    common |= {"units": [str(i) for i in best], "start": start}
    common |= {"regions": [str(shown.session.regions[i]) for i in best]}
    y, guess = answer.truth[..., best] / width, answer.predicted[..., best] / width
    captions = {"raster": _raster(folder, y, guess, common)}
    psth = [[y[rows].mean(axis=0).T, guess[rows].mean(axis=0).T] for rows in groups.values()]
    np.save(folder / "psth.npy", np.array(psth, dtype=np.float32))
    quality = psth_r2(y, guess, label)
    captions["psth"] = common | {
        "conditions": list(groups),
        "scores": [float(s) if np.isfinite(s) else None for s in quality],
        "score_name": "PSTH R2",
    }
    few = slice(0, min(_EXAMPLES, len(best)))
    trials = np.stack([smooth(trial, 1.5) for trial in y[:_TRIALS, :, few]])
    pair = np.stack([trials, guess[:_TRIALS, :, few]]).transpose(3, 0, 1, 2)
    np.save(folder / "single_trials.npy", pair.astype(np.float32))
    names = np.array(list(groups))
    captions["single_trials"] = common | {
        "units": common["units"][few],
        "regions": common["regions"][few],
        "conditions": [str(c) for c in names[label[:_TRIALS]]] if len(groups) > 1 else [],
        "scores": [float(s) if np.isfinite(s) else None for s in values[best[few]]],
        "score_name": "bits/spike",
    }
    return captions


def _raster(
    folder: Path, y: np.ndarray, guess: np.ndarray, common: dict[str, Any]
) -> dict[str, Any]:
    windows = max(1, _BINS // y.shape[1])
    recorded = np.concatenate([smooth(window, 1.5) for window in y[:windows]])
    pair = np.stack([recorded, guess[:windows].reshape(recorded.shape)]).transpose(0, 2, 1)
    np.save(folder / "raster.npy", pair.astype(np.float32))
    note = "Windows stand one behind the other." if windows > 1 else ""
    return common | {"start": 0.0, "note": note}


def _conditions(shown: SessionAnswers) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return a number a test window, and the windows of each condition: classes of a behaviour."""
    n = len(shown.test)
    for answer in shown.answers.values():
        if answer.classes and answer.truth.ndim == 1 and len(answer.classes) <= _CLASSES:
            label = np.where(answer.truth >= 0, answer.truth, len(answer.classes))
            names = [f"{answer.question.target} {name}" for name in answer.classes]
            names.append(f"{answer.question.target} not known")
            present = np.unique(label)
            groups = {names[c]: np.flatnonzero(label == c) for c in present}
            return np.searchsorted(present, label), groups
    return np.zeros(n, dtype=int), {"all windows": np.arange(n)}


# ---- behaviour


def _decoded(
    folder: Path, answers: Sequence[SessionAnswers], result: Evaluation
) -> dict[str, Any]:
    tables = []
    texts: dict[str, str] = {}
    for found in answers[:_TRACED]:
        for answer in _decodings(found):
            if answer.classes or answer.truth.ndim != 3:
                continue
            tables += _traces(found, answer, result)
            texts |= _texts(answer, result.tasks, "R2")
    if not tables:
        return {}
    write_table(folder / "decoded.csv", pd.concat(tables))
    return {"scores": texts, "note": "Windows of the test part, one behind the other."}


def _traces(found: SessionAnswers, answer: Answer, result: Evaluation) -> list[pd.DataFrame]:
    bins, channels = answer.truth.shape[1:]
    windows = max(1, min(len(answer.truth), _TRACE // bins))
    starts = found.session.starts[found.test[:windows]] if len(found.session.starts) else None
    starts = np.arange(windows) * bins * result.bin if starts is None else starts
    times = (starts[:, None] + np.arange(bins) * result.bin).ravel()
    target = answer.question.target
    return [
        pd.DataFrame(
            {
                "recording": found.session.name,
                "target": target if channels == 1 else f"{target} {c + 1}",
                "time": times,
                "truth": answer.truth[:windows, :, c].ravel(),
                "prediction": answer.predicted[:windows, :, c].ravel(),
                "segment": np.repeat(np.arange(windows), bins),
            }
        )
        for c in range(channels)
    ]


def _confusion(
    folder: Path, answers: Sequence[SessionAnswers], result: Evaluation
) -> dict[str, Any]:
    tables, classes, texts = [], {}, {}
    for found in answers:
        for answer in _decodings(found):
            if not answer.classes:
                continue
            names = np.array([str(name) for name in answer.classes])
            known = answer.truth >= 0
            pairs = pd.DataFrame(
                {
                    "truth": names[answer.truth[known]],
                    "prediction": names[answer.predicted[known]],
                }
            )
            target = answer.question.target
            counts = pairs.value_counts().rename("n").reset_index()
            tables.append(counts.assign(recording=found.session.name, target=target))
            classes[target] = list(names)
            texts |= _texts(answer, result.tasks, "balanced accuracy")
    if not tables:
        return {}
    table: Any = pd.concat(tables)
    if table["recording"].nunique() > 1:
        keys = ["target", "truth", "prediction"]
        pooled: Any = table.groupby(keys, as_index=False)["n"].sum()
        table = pd.concat([pooled.assign(recording=""), table])
    write_table(
        folder / "confusion.csv", table[["recording", "target", "truth", "prediction", "n"]]
    )
    return {"classes": classes, "scores": texts}


def _decodings(found: SessionAnswers) -> list[Answer]:
    return [a for a in found.answers.values() if a.question.task == "decoding"]


def _texts(answer: Answer, tasks: pd.DataFrame, measure: str) -> dict[str, str]:
    """Return target -> its score in words."""
    row: Any = tasks[tasks["score"] == answer.question.title].iloc[0]
    text = f"{measure} {row['mean']:.2f}"
    if np.isfinite(row["low"]):
        text += f" ({row['low']:.2f} to {row['high']:.2f})"
    target = answer.question.target
    if answer.truth.ndim == 3 and answer.truth.shape[2] > 1:
        return {f"{target} {c + 1}": text for c in range(answer.truth.shape[2])}
    return {target: text}
