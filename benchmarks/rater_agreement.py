"""How far three people agree on 20 open-field videos; JSON.

``python benchmarks/rater_agreement.py AllLabDataOFT_final.csv``: the labels of Sturman et al. 2020
(Neuropsychopharmacology), as their repository DLCAnalyzer holds them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from tinbergen.metrics import rater_agreement
from tinbergen.recordings import read_labels

CLASSES = ("Supported", "Unsupported", "Grooming")
FPS = 25.0


def codes(path: Path, video: str, rater: str, times: np.ndarray) -> np.ndarray:
    """Class of each frame, the number of classes for none; of two at once the later one."""
    where = {"ID": video, "Experimenter": rater, "type": list(CLASSES)}
    labels = read_labels(path, CLASSES, where=where, overlaps=True, observed="all")
    found = np.full(len(times), len(CLASSES))
    for bout in labels.rows:  # in the order of their starts
        found[(times >= bout.start) & (times < bout.stop)] = CLASSES.index(bout.label)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    path = parser.parse_args().table
    rows = [line.replace('"', "").split(";") for line in path.read_text().splitlines()[1:]]
    videos, raters = sorted({row[5] for row in rows}), sorted({row[1] for row in rows})
    times = np.arange(round(600 * FPS)) / FPS
    ratings = {rater: [codes(path, v, rater, times) for v in videos] for rater in raters}
    found = rater_agreement(ratings, len(CLASSES) + 1, background=len(CLASSES))
    result: dict = {"videos": found.n_sessions, "frames": found.n_frames}
    for name in ("kappa", "macro_f1", "segment_f1", "edit"):
        values = getattr(found, name)
        pairs = {
            " and ".join(p): round(float(v), 3) for p, v in zip(found.pairs, values, strict=True)
        }
        low, high = found.intervals[name]
        mean = {
            "mean": round(float(values.mean()), 3),
            "interval": [round(low, 3), round(high, 3)],
        }
        result[name] = pairs | mean
    for name in ("class_f1", "class_segment_f1"):
        table = getattr(found, name)
        result[name] = {c: table[:, k].round(3).tolist() for k, c in enumerate(CLASSES)}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
