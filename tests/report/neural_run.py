"""A made-up run folder of a study that predicts spikes and decodes behaviour."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

REGIONS = ("VISp", "CA1", "LP", "MOs")
PREDICTORS = ("embeddings", "frame PCA", "motion energy")
CONDITIONS = ("left", "right")
START, BIN = -0.5, 0.02  # s


def write_neural_run(path: Path, *, units: int = 90, trials: int = 60, name: str = "m{}") -> Path:
    """Write every file that the page reads of an encoding and decoding run."""
    rng = np.random.default_rng(0)
    (path / "diagnostics").mkdir(parents=True)
    recordings = [name.format(i + 1) for i in range(2)]
    _write_summary(path, name.format(1))
    _write_units(path, recordings, units, rng)
    _write_nulls(path, rng)
    captions = _write_rates(path, recordings[0], units, trials, rng)
    _write_decoded(path, recordings[0], rng)
    captions |= {
        "units": {
            "unit": {"bits/spike": ""},
            "null_name": "mean of 200 time shifts",
            "note": f"Test trials of {name.format('')} only.",
        },
        "nulls": {
            "measured": [
                {"recording": "", "target": "", "score": "bits/spike", "value": 0.21, "p": 0.005},
                {"recording": "", "target": "choice", "score": "balanced accuracy", "value": 0.81,
                 "p": 0.005},
            ],
        },
        "decoded": {
            "units": {"wheel speed": "rad/s"},
            "scores": {"wheel speed": "R2 0.61 (0.55 to 0.66)"},
        },
        "confusion": {
            "classes": {"choice": ["left", "right"]},
            "scores": {"choice": "balanced accuracy 0.81 (chance 0.5)"},
        },
    }  # fmt: skip
    (path / "diagnostics/figures.json").write_text(json.dumps(captions), encoding="utf-8")
    (path / "status.json").write_text(json.dumps({"state": "done", "seed": 0}))
    (path / "config.yaml").write_text("seed: 0\nmodel: glm\n")
    return path


def _write_summary(path: Path, name: str) -> None:
    headline = {
        "name": "bits/spike",
        "value": 0.21,
        "interval": [0.18, 0.24],
        "interval_name": "95 % bootstrap over sessions and units",
        "null": 0.0,
        "null_name": "train mean rate",
        "direction": "higher",
        "baselines": [
            {"name": "frame PCA", "value": 0.16, "interval": [0.14, 0.19]},
            {"name": "time-shifted embeddings", "value": -0.02, "interval": None},
        ],
        "n": 87,
        "n_name": "neurons",
    }
    summary = {
        "room": "encoding",
        "title": "Spikes from embeddings",
        "trained_on": f"2 recordings ({name}, ...), 180 neurons",
        "headline": headline,
    }
    (path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def _write_units(path: Path, recordings: list[str], units: int, rng: np.random.Generator) -> None:
    rows = []
    for recording in recordings:
        region = np.sort(rng.integers(len(REGIONS), size=units))
        strength = rng.gamma(2, 0.06, size=units) * (1 + (region == 0))
        depth = 100 + 900 * region + rng.uniform(0, 800, units)
        for k, predictor in enumerate(PREDICTORS):
            value = strength / (1 + 0.3 * k) + rng.normal(0, 0.02, units)
            value[:2] = np.nan  # no spikes in the test trials
            value[3] = -4.0  # a bad fit far away from all others
            null = rng.normal(-0.02, 0.01, units)
            rows += [
                [recording, str(u), REGIONS[region[u]] if u % 30 else "", depth[u], predictor]
                + ["bits/spike", value[u], null[u], value[u] - 0.03, value[u] + 0.03]
                for u in range(units)
            ]
    columns = ["recording", "unit", "region", "depth", "predictor"]
    columns += ["score", "value", "null", "low", "high"]
    pd.DataFrame(rows, columns=columns).to_csv(path / "diagnostics/units.csv", index=False)


def _write_nulls(path: Path, rng: np.random.Generator) -> None:
    parts = [
        pd.DataFrame({"recording": "", "target": target, "score": score, "null": kind,
                      "value": rng.normal(centre, spread, 200)})
        for target, score, kind, centre, spread in (
            ("", "bits/spike", "time shift", -0.02, 0.015),
            ("", "bits/spike", "shuffle", -0.03, 0.008),
            ("choice", "balanced accuracy", "shuffle", 0.5, 0.06),
        )
    ]  # fmt: skip
    pd.concat(parts).to_csv(path / "diagnostics/nulls.csv", index=False)


def _write_rates(
    path: Path, recording: str, units: int, trials: int, rng: np.random.Generator
) -> dict:
    times = START + BIN * (np.arange(100) + 0.5)
    peak, side = rng.uniform(-0.3, 1.2, units), rng.uniform(0, 1, (2, units))
    mean = 4 + 25 * side[..., None] * np.exp(-(((times - peak[:, None]) / 0.12) ** 2))
    psth = np.stack([mean + rng.normal(0, 2, mean.shape), 0.85 * mean + 1], axis=1)
    np.save(path / "diagnostics/psth.npy", psth.astype("f4"))

    side_of = rng.integers(2, size=trials)
    delay = rng.uniform(-0.15, 0.35, size=trials)
    shown = sorted({u % units for u in (5, 11, 17, 42)})
    single = np.empty((len(shown), 2, trials, len(times)), "f4")
    for i, u in enumerate(shown):
        centre = peak[u] + delay[:, None]
        rate = 4 + 30 * side[side_of, u][:, None] * np.exp(-(((times - centre) / 0.1) ** 2))
        single[i] = rng.poisson(rate * 0.1) / 0.1, 0.8 * rate + 1
    single[0, 0, 3] = np.nan
    np.save(path / "diagnostics/single_trials.npy", single)

    t = np.arange(600) * BIN
    rate = 5 + 4 * np.sin(t / 0.9 + np.linspace(0, 6, units)[:, None])
    rate = rate[rng.permutation(units)]
    raster = np.stack([rng.poisson(rate), 0.9 * rate]).astype("f4")
    raster[:, :, 280:310] = np.nan  # a gap
    np.save(path / "diagnostics/raster.npy", raster)

    names = [str(u) for u in range(units)]
    common = {"recording": recording, "bin": BIN, "unit": "spikes/s"}
    aligned = {**common, "start": START, "align": "stim_on"}
    regions = [REGIONS[u % 4] for u in range(units)]
    scores = rng.uniform(0.2, 0.95, units).round(3)
    return {
        "psth": {**aligned, "conditions": list(CONDITIONS), "units": names, "regions": regions,
                 "scores": [*scores[:-1], None], "score_name": "PSTH R2"},
        "single_trials": {**aligned, "units": [names[u] for u in shown],
                          "regions": [regions[u] for u in shown],
                          "scores": [float(scores[u]) for u in shown], "score_name": "bits/spike",
                          "conditions": [CONDITIONS[k] for k in side_of]},
        "raster": {**common, "units": names, "start": 812.0},
    }  # fmt: skip


def _write_decoded(path: Path, recording: str, rng: np.random.Generator) -> None:
    parts = []
    for k, start in enumerate((812.0, 871.5, 990.2, 1204.0)):
        t = start + np.arange(100) * BIN
        truth = np.abs(4 * np.sin(2 * (t - start)) + rng.normal(0, 0.2, 100))
        guess = 0.8 * truth + rng.normal(0, 0.3, 100)
        parts.append(
            pd.DataFrame({"recording": recording, "target": "wheel speed", "time": t,
                          "truth": truth, "prediction": guess, "segment": k,
                          "low": guess - 0.6, "high": guess + 0.6})
        )  # fmt: skip
    t = 100.0 + 12 * np.arange(50)
    truth = np.repeat([0.2, 0.8, 0.2, 0.8, 0.5], 10)
    parts.append(
        pd.DataFrame({"recording": recording, "target": "block", "time": t, "truth": truth,
                      "prediction": np.clip(truth + rng.normal(0, 0.12, 50), 0, 1)})
    )  # fmt: skip
    pd.concat(parts).to_csv(path / "diagnostics/decoded.csv", index=False)
    rows = [
        ("left", "left", 41),
        ("left", "right", 9),
        ("right", "left", 7),
        ("right", "right", 33),
    ]
    table = pd.DataFrame(rows, columns=["truth", "prediction", "n"])
    more = ["groom", "walk", "rear", "rest"]
    other = pd.DataFrame(
        [(a, b, 60 if a == b else rng.integers(0, 15)) for a in more for b in more],
        columns=["truth", "prediction", "n"],
    )
    pd.concat([table.assign(target="choice"), other.assign(target="action")]).assign(
        recording=""
    ).to_csv(path / "diagnostics/confusion.csv", index=False)
