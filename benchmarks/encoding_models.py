"""Encoding models on simulated spikes: bits/spike, R2, CPU-seconds and peak memory, beside peers.

300 trials of 100 bins of 20 ms, 200 units (Poisson, 15 Hz on average) that read 12 latents at lags
of their own, and 768 features that mix the latents with noise. All models see the same 240 trials;
30 of them choose hyper-parameters; 60 others are the test. Null: the test mean of each unit; rates
are raised to 1e-3 spikes/bin. Each row is a process of its own on one thread. CPU-seconds hold
everything from raw features to test predictions (peers: with the features that ours reduce).

    python benchmarks/encoding_models.py --out encoding_models.json
    python benchmarks/encoding_models.py --rows glm ridge --nemos-python ~/nemos/bin/python
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import argparse
import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

TRIALS, BINS, UNITS, FEATURES, LATENTS = 300, 100, 200, 768, 12
LAGS, COMPONENTS = (-5, 5), 32
FLOOR = 1e-3  # spikes/bin
TARGETS = {
    "Ridge": {"bits_per_spike": 0.235, "cpu_s": 3.0},
    "PoissonGLM": {"bits_per_spike": 0.255, "cpu_s": 8.0},
    "BilinearRRR, objective": {"objective": 3.2466e6, "cpu_s": 7.0},
}


def generate(seed: int = 0) -> dict[str, np.ndarray]:
    """Draw features X, counts Y, true rates, and the trials of each part."""
    rng = np.random.default_rng(seed)
    decay = np.exp(-1 / np.geomspace(2, 30, LATENTS))
    latents = np.zeros((TRIALS, BINS + 40, LATENTS))
    latents[:, 0] = rng.normal(size=(TRIALS, LATENTS))
    for t in range(1, BINS + 40):
        noise = rng.normal(size=(TRIALS, LATENTS))
        latents[:, t] = decay * latents[:, t - 1] + np.sqrt(1 - decay**2) * noise
    latents = latents[:, 20 : 30 + BINS]  # five bins more on each side, for the lags
    mixing = rng.normal(size=(LATENTS, FEATURES)) * np.linspace(2, 0.5, LATENTS)[:, None]
    noise = rng.normal(size=(TRIALS, BINS, FEATURES))
    x = np.tanh(latents[:, 5 : 5 + BINS] @ mixing / 6) + 0.3 * noise
    lag = rng.integers(-4, 5, size=UNITS)
    gain = rng.normal(size=(LATENTS, UNITS)) * (rng.random((LATENTS, UNITS)) < 0.3) * 0.35
    psth = 0.4 * np.cumsum(rng.normal(size=(BINS, UNITS)), axis=0) / np.sqrt(BINS)
    base = np.log(rng.lognormal(np.log(10), 0.6, UNITS).clip(2, 60) * 0.02)
    read = [latents[:, 5 + lag[n] : 5 + lag[n] + BINS] @ gain[:, n] for n in range(UNITS)]
    drive = np.stack(read, axis=2)
    rates = np.exp((drive + psth + base).clip(-8, 1.5))
    order = np.random.default_rng(42).permutation(TRIALS)
    return {
        "X": x.astype(np.float32),
        "Y": rng.poisson(rates).astype(np.uint8),
        "rates": rates.astype(np.float32),
        "fit": order[:240],
        "validate": np.arange(240) >= 210,
        "test": order[240:],
    }


class Data:
    """What a row sees of the data."""

    def __init__(self, folder: Path):
        self.folder = folder
        with np.load(folder / "data.npz") as file:
            x, y, rates, fit, self.validate, test = (file[key] for key in file)
        self.x_fit, self.y_fit = x[fit], y[fit]
        self.x_test, self.y_test, self.true_rates = x[test], y[test], rates[test]

    @property
    def lagged(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of our models written out, for peers: rows to fit on, and of the test."""
        return np.load(self.folder / "fit.npy"), np.load(self.folder / "test.npy")

    @property
    def counts(self) -> np.ndarray:
        """(row, unit) of the trials to fit on."""
        return self.y_fit.reshape(-1, UNITS).astype(np.float32)


Row = Callable[[Data], tuple[np.ndarray, dict[str, Any]]]


def model(name: str, home: str, data: Data, **settings: Any) -> tuple[np.ndarray, dict]:
    """Fit one of ours; what it chose is told."""
    made = getattr(importlib.import_module(f"tinbergen.encoding.{home}"), name)(**settings)
    made.fit(data.x_fit, data.y_fit, validate=data.validate)
    shown = ("alpha_", "rank_", "l2_", "sigma_", "sweeps_", "validation_score_", "score_")
    told = {key: getattr(made, key) for key in shown if getattr(made, key, None) is not None}
    return made.predict(data.x_test), told


def bilinear_objective(data: Data) -> tuple[np.ndarray, dict]:
    """Fit the papers' form on the 210 training trials at rank 3 and l2 100."""
    from tinbergen.encoding.bilinear import BilinearRRR

    made = BilinearRRR(rank=3, l2=100.0, calibrate=False)
    made.fit(data.x_fit[~data.validate], data.y_fit[~data.validate])
    return made.predict(data.x_test), {"objective": float(made.objective_)}


def sklearn_ridge(data: Data, search: bool) -> tuple[np.ndarray, dict]:
    from sklearn.linear_model import Ridge, RidgeCV

    made = RidgeCV(np.logspace(0, 6, 13)) if search else Ridge(1e3, solver="cholesky")
    fit, test = data.lagged
    made.fit(fit, data.counts)
    return made.predict(test), {"alpha_": float(getattr(made, "alpha_", 1e3))}


def sklearn_poisson(data: Data, alpha: float, units: int) -> tuple[np.ndarray, dict]:
    """Fit some units, one after the other; the others are predicted at their mean."""
    from sklearn.linear_model import PoissonRegressor

    fit, test = data.lagged
    rates = np.broadcast_to(data.counts.mean(axis=0), (len(test), UNITS)).copy()
    for unit in range(units):
        one = PoissonRegressor(alpha=alpha / len(fit), max_iter=200, tol=1e-4)
        rates[:, unit] = one.fit(fit, data.counts[:, unit]).predict(test)
    return rates, {"alpha_": alpha, "units": units}


def nemos_glm(data: Data, alpha: float) -> tuple[np.ndarray, dict]:
    import nemos  # pyright: ignore[reportMissingImports]

    fit, test = data.lagged
    made = nemos.glm.PopulationGLM(
        regularizer="Ridge",
        regularizer_strength=alpha / len(fit),
        solver_name="LBFGS",
        solver_kwargs={"maxiter": 100},
    )
    made.fit(fit, data.counts)
    return np.asarray(made.predict(test)), {"alpha_": alpha, "version": nemos.__version__}


def lbfgs_poisson(data: Data, alpha: float) -> tuple[np.ndarray, dict]:
    """All units in one loss, minimised by torch's L-BFGS."""
    import torch

    torch.set_num_threads(1)
    fit, test = map(torch.from_numpy, data.lagged)
    y = torch.from_numpy(data.counts)
    weights = torch.zeros(fit.shape[1], UNITS, requires_grad=True)
    bias = torch.log(y.mean(0)).requires_grad_()
    optimiser = torch.optim.LBFGS(
        [weights, bias], max_iter=40, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure():
        optimiser.zero_grad()
        linear = fit @ weights + bias
        loss = (torch.exp(linear) - y * linear).sum() + alpha / 2 * (weights**2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        return torch.exp(test @ weights + bias).numpy(), {"alpha_": alpha}


def lbfgs_bilinear(data: Data, iterations: int) -> tuple[np.ndarray, dict]:
    """Minimise the papers' loss as they do, on the 210 training trials: rank 3, l2 100."""
    import torch
    from scipy.ndimage import gaussian_filter1d

    torch.set_num_threads(1)
    x, y = data.x_fit[~data.validate], data.y_fit[~data.validate]
    smooth = gaussian_filter1d(y.astype(np.float32), 2, axis=1)
    mean, deviation = smooth.mean(axis=0), smooth.std(axis=0) + 1e-6
    centre = x.reshape(-1, FEATURES).mean(axis=0)
    scale = x.reshape(-1, FEATURES).std(axis=0) + 1e-6
    features = torch.from_numpy((x - centre) / scale)
    target = torch.from_numpy((smooth - mean) / deviation)
    draws = torch.Generator().manual_seed(0)
    u = (torch.randn(UNITS, FEATURES, 3, generator=draws) / (3 * BINS) ** 0.5).requires_grad_()
    v = (torch.randn(3, BINS, generator=draws) / (3 * BINS) ** 0.5).requires_grad_()
    bias = torch.zeros(BINS, UNITS, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [u, v, bias],
        max_iter=iterations,
        history_size=50 if iterations > 20 else 100,
        line_search_fn="strong_wolfe" if iterations > 20 else None,
        tolerance_change=1e-9,
    )
    losses = []

    def closure():
        optimiser.zero_grad()
        weights = torch.einsum("ncr,rt->nct", u, v)
        error = torch.einsum("ktc,nct->ktn", features, weights) + bias - target
        loss = (error**2).sum() + 100 * ((weights**2).sum() + (bias**2).sum())
        loss.backward()
        losses.append(float(loss.detach()))
        return loss

    optimiser.step(closure)
    test = torch.from_numpy((data.x_test - centre) / scale)
    with torch.no_grad():
        weights = torch.einsum("ncr,rt->nct", u, v)
        predicted = (torch.einsum("ktc,nct->ktn", test, weights) + bias).numpy()
    told = {"objective": losses[-1], "closures": len(losses)}
    return predicted * deviation + mean, told


INSTANT: dict[str, Any] = {"lags": (0, 0), "components": None}
ROWS: dict[str, Row] = {
    "oracle": lambda data: (data.true_rates, {}),
    "MeanRate": partial(model, "MeanRate", "mean_rate"),
    "PSTH": partial(model, "PSTH", "mean_rate"),
    "Ridge, no lags, 768 features, linear": partial(
        model, "Ridge", "ridge", calibrate=False, **INSTANT
    ),
    "Ridge, linear": partial(model, "Ridge", "ridge", calibrate=False),
    "Ridge": partial(model, "Ridge", "ridge"),
    "ReducedRank": partial(model, "ReducedRank", "reduced_rank"),
    "PoissonGLM": partial(model, "PoissonGLM", "glm"),
    "PoissonGLM, 7 raised cosines": partial(model, "PoissonGLM", "glm", basis=7),
    "PoissonGLM, alpha 1000": partial(model, "PoissonGLM", "glm", alphas=(1000.0,)),
    "BilinearRRR": partial(model, "BilinearRRR", "bilinear"),
    "BilinearRRR, objective": bilinear_objective,
    "TCN tinbergen": partial(model, "TCN", "tcn", preset="tinbergen"),
    "peer: scikit-learn Ridge": partial(sklearn_ridge, search=False),
    "peer: scikit-learn RidgeCV": partial(sklearn_ridge, search=True),
    "peer: scikit-learn PoissonRegressor, 10 units": partial(
        sklearn_poisson, alpha=1000.0, units=10
    ),
    "peer: L-BFGS Poisson, alpha 100": partial(lbfgs_poisson, alpha=100.0),
    "peer: L-BFGS Poisson, alpha 1000": partial(lbfgs_poisson, alpha=1000.0),
    "peer: nemos, alpha 30": partial(nemos_glm, alpha=30.0),
    "peer: nemos, alpha 1000": partial(nemos_glm, alpha=1000.0),
    "peer: L-BFGS bilinear, 20 steps": partial(lbfgs_bilinear, iterations=20),
}
LONG: dict[str, Row] = {
    "peer: L-BFGS bilinear, 80 steps": partial(lbfgs_bilinear, iterations=80),
    "TCN facemap": partial(model, "TCN", "tcn", preset="facemap"),
}


def write_features(data: Data) -> float:
    """Write the lagged features that peers get; return the CPU-seconds this took."""
    from tinbergen.encoding.design import FeatureMap, Lagged

    begin = time.process_time()
    x = data.x_fit.reshape(-1, FEATURES)
    features = FeatureMap(COMPONENTS).fit(x, np.ones(len(x), dtype=bool))
    written = []
    for part in (x, data.x_test.reshape(-1, FEATURES)):
        segments = np.repeat(np.arange(len(part) // BINS), BINS)
        lagged = Lagged(features.transform(part)[0], segments, LAGS)
        written.append(lagged.rows(np.arange(len(part))))
    spent = time.process_time() - begin
    np.save(data.folder / "fit.npy", written[0])
    np.save(data.folder / "test.npy", written[1])
    return spent


def run_row(name: str, folder: Path) -> None:
    """Run one row in this process: predictions to a file, what it cost to stdout."""
    data = Data(folder)
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        predicted, told = (ROWS | LONG)[name](data)
    except ImportError as error:
        print(json.dumps({"skipped": f"cannot import: {error}"}))
        return
    spent = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    np.save(folder / "predicted.npy", np.asarray(predicted).reshape(-1, UNITS))
    plain = {key: value for key, value in told.items() if np.isscalar(value)}
    print(json.dumps({**spent, "peak_rss_mb": peak_rss_mb(), **plain}, default=float))


def peak_rss_mb() -> float:
    """Peak memory of this process; getrusage tells that of the parent before it where larger."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(t for t in status.read_text().splitlines() if t.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, python: str, folder: Path, features_s: float, y: np.ndarray) -> dict:
    """Run a row in a process of its own and score what it predicts."""
    from tinbergen.metrics import bits_per_spike, r2

    command = [python, "-W", "ignore", __file__, "--row", name, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1:]}
    row = json.loads(done.stdout.strip().splitlines()[-1])
    if "skipped" in row:
        return row
    if "peer" in name and "bilinear" not in name:
        row["cpu_s"] += features_s
    rates = np.maximum(np.load(folder / "predicted.npy"), FLOOR)
    units = slice(0, row.get("units", UNITS))
    bits = bits_per_spike(y[:, units], rates[:, units], "mean")
    score = {
        "bits_per_spike": np.mean(bits),
        "median_bits_per_spike": np.median(bits),
        "r2": np.mean(r2(y[:, units], rates[:, units])),
    }
    return {
        key: value if isinstance(value, str) else round(float(value), 4)
        for key, value in (score | row).items()
        if isinstance(value, str) or np.isfinite(value)
    }


def judge(name: str, row: dict) -> dict:
    """Say of a row with a target whether it reached it."""
    target = TARGETS.get(name)
    if not target or "cpu_s" not in row:
        return row
    better = {
        "bits_per_spike": np.greater_equal,
        "objective": np.less_equal,
        "cpu_s": np.less_equal,
    }
    reached = {key: bool(better[key](row[key], goal)) for key, goal in target.items()}
    return row | {"target": target, "reached": reached}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", nargs="*", default=[], help="parts of names; default: all")
    parser.add_argument("--long", action="store_true", help="also the rows of minutes")
    parser.add_argument("--nemos-python", default=sys.executable, help="a Python that has nemos")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        run_row(args.row, args.folder)
        return
    rows = ROWS | (LONG if args.long else {})
    wanted = [n for n in rows if not args.rows or any(p.lower() in n.lower() for p in args.rows)]
    result: dict[str, Any] = {"benchmark": "encoding_models", "rows": {}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        np.savez(folder / "data.npz", **generate())  # pyright: ignore[reportArgumentType]
        data = Data(folder)
        y = data.y_test.reshape(-1, UNITS)
        features_s = write_features(data)
        result["features_cpu_s"] = round(features_s, 3)
        for name in wanted:
            python = args.nemos_python if "nemos" in name else sys.executable
            row = judge(name, measure(name, python, folder, features_s, y))
            result["rows"][name] = row
            print(name, json.dumps(row), file=sys.stderr, flush=True)
            if args.out:
                args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
