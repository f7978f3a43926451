"""The TCN: its networks against their formulas, its sequences, and that it learns."""

from typing import Any

import numpy as np
import pytest
import torch

from tinbergen.encoding import TCN, tcn_training
from tinbergen.encoding.tcn_networks import FacemapNet, SeparableNet, gabor_filters
from tinbergen.encoding.tcn_training import Sequences, SessionBatches
from tinbergen.errors import ConfigError, DataError, NotFittedError
from tinbergen.metrics import bits_per_spike, r2

QUICK: dict[str, Any] = {"epochs": 1, "filter_length": 5}


def animal(seed, trials=40, bins=40, units=8, features=6):
    """Return features, counts and rates; each unit follows one feature at a lag of its own."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(size=(trials, bins + 8, features)), axis=1)
    x = np.diff(walk, axis=1, prepend=0) + 0.5 * np.sin(walk)
    lags = rng.integers(0, 9, size=units)
    chosen = rng.integers(0, features, size=units)
    drive = np.stack([x[:, k : k + bins, f] for k, f in zip(lags, chosen, strict=True)], axis=2)
    rates = 0.5 * np.exp(np.clip(0.7 * drive, -2, 2))
    return x[:, 4 : 4 + bins], rng.poisson(rates), rates


# --- networks ---------------------------------------------------------------------------------


def test_facemap_network_is_facemaps():
    filters = gabor_filters(201)
    np.testing.assert_allclose(filters.norm(dim=1), 1, atol=1e-6)
    # Of the first frequency and phase: a Gaussian times one period of a cosine.
    turn = np.linspace(0, 2 * np.pi, 202)[:-1]
    turn -= turn.mean()
    first = np.exp(-(turn**2) / 2) * np.cos(turn)
    np.testing.assert_allclose(filters[0], first / np.linalg.norm(first), atol=1e-6)
    network = FacemapNet(768, [200], 201)
    assert sum(p.numel() for p in network.parameters()) == 1_041_108
    assert network(torch.zeros(2, 60, 768), 0).shape == (2, 60, 200)


def test_facemap_network_by_hand():
    torch.manual_seed(0)
    network = FacemapNet(3, [4], 5).double()
    x = torch.randn(1, 9, 3, dtype=torch.float64)
    assert isinstance(network.readouts[0], torch.nn.Linear)
    mixed = x[0] @ network.mix.weight.T + network.mix.bias
    taps = network.filters.weight[:, 0]
    padded = torch.cat([torch.zeros(2, 3), mixed, torch.zeros(2, 3)])
    filtered = torch.stack(
        [
            torch.stack([(padded[t : t + 5, c] * tap).sum() for c in range(3) for tap in taps])
            for t in range(9)
        ]
    )
    hidden = network.narrow(filtered.relu()).relu()
    expected = network.readouts[0](network.latents(hidden).relu())
    torch.testing.assert_close(network(x, 0)[0], expected)


@pytest.mark.parametrize("terms", [1, 2])
def test_separable_network_by_hand(terms):
    torch.manual_seed(0)
    network = SeparableNet([3], [4], 2, terms, 5).double()
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    hidden = torch.nn.functional.gelu(network.inputs[0](x))
    latents = network.linear[0](x) + network.shared(hidden)
    weights = network.weights.get_parameter("0.weight").reshape(4, terms, 2)
    filters = network.filters[0].reshape(4, terms, 5)
    padded = torch.nn.functional.pad(latents, (0, 0, 2, 2))
    windows = padded.unfold(1, 5, 1)  # (batch, time, latent, tap)
    expected = torch.einsum("btlk,nql,nqk->btn", windows, weights, filters)
    torch.testing.assert_close(network(x, 0), expected + network.biases[0])


@pytest.mark.parametrize(
    "make", [lambda: FacemapNet(3, [2], 5), lambda: SeparableNet([3], [2], 4, 1, 5)]
)
def test_padding_is_as_if_it_were_not_there(make):
    torch.manual_seed(0)
    network = make()
    x = torch.randn(1, 7, 3)
    longer = torch.cat([x, torch.randn(1, 4, 3)], dim=1)
    inside = torch.arange(11)[None] < 7
    torch.testing.assert_close(network(longer, 0, inside)[:, :7], network(x, 0))


# --- sequences --------------------------------------------------------------------------------


def test_every_row_is_in_one_sequence(monkeypatch):
    monkeypatch.setattr(tcn_training, "LONGEST", 10)
    segments = np.repeat([0, 1, 2, 3], [3, 25, 10, 1])
    sequences = Sequences.of(segments, 4)
    assert sorted(sequences.rows[sequences.own]) == list(range(39))
    for rows, own in zip(sequences.rows, sequences.own, strict=True):
        present = rows[rows >= 0]
        assert len(set(segments[present])) == 1 and own.sum() <= 10
        segment = np.flatnonzero(segments == segments[present[0]])
        reached = np.flatnonzero(own)[[0, -1]] + [-4, 4]
        first, last = rows[own][0] - 4, rows[own][-1] + 4
        assert present[0] == max(first, segment[0]) and present[-1] == min(last, segment[-1])
        assert reached[0] <= 0 or present[0] == segment[0]
    values = np.random.default_rng(0).normal(size=(39, 2))
    back = np.zeros_like(values)
    sequences.put(sequences.take(values), back)
    np.testing.assert_array_equal(back, values)


def test_batches_hold_every_sequence_once_an_epoch():
    batches = SessionBatches([7, 3], 4, seed=0)
    epoch = [batches.batch(step) for step in range(batches.per_epoch)]
    assert all(len(set(batch[:, 0])) == 1 and len(batch) <= 4 for batch in epoch)
    seen = sorted(map(tuple, np.concatenate(epoch)))
    assert seen == [(0, i) for i in range(7)] + [(1, i) for i in range(3)]
    np.testing.assert_array_equal(batches.batch(1), SessionBatches([7, 3], 4, seed=0).batch(1))


def test_cut_segments_are_predicted_as_whole_ones(monkeypatch):
    x, y, _ = animal(0, trials=4)
    segments = np.repeat([0, 1], [100, 60])
    flat, counts = x.reshape(-1, 6), y.reshape(-1, 8)
    model = TCN(**QUICK).fit(flat, counts, segments=segments)
    whole = model.predict(flat, segments=segments)
    monkeypatch.setattr(tcn_training, "LONGEST", 16)
    np.testing.assert_allclose(model.predict(flat, segments=segments), whole, rtol=1e-4)


@pytest.mark.parametrize("preset", ["tinbergen", "facemap"])
def test_nothing_crosses_segments(preset):
    x, y, _ = animal(0, trials=10)
    segments = np.repeat(np.arange(5), [60, 90, 100, 70, 80])
    flat, counts = x.reshape(-1, 6), y.reshape(-1, 8)
    model = TCN(preset, **QUICK).fit(flat, counts, segments=segments)
    before = model.predict(flat, segments=segments)
    changed = flat.copy()
    changed[segments == 2] += 1.0
    after = model.predict(changed, segments=segments)
    same = segments != 2
    np.testing.assert_allclose(after[same], before[same], rtol=1e-5)
    assert not np.allclose(after[~same], before[~same])
    alone = model.predict(flat[segments == 1])
    np.testing.assert_allclose(alone, before[segments == 1], rtol=1e-5)


# --- learning ---------------------------------------------------------------------------------


def test_learns_the_lag_of_each_unit():
    x, y, rates = animal(0, trials=150)
    test, truth, clean = (a[100:] for a in (x, y, rates))
    model = TCN(filter_length=11).fit(x[:100], y[:100])
    ceiling, found = (
        bits_per_spike(truth, r, "mean").mean() for r in (clean, model.predict(test))
    )
    assert found > 0.75 * ceiling
    assert model.score_ == pytest.approx(found, abs=0.1)
    facemap = TCN("facemap", epochs=20, filter_length=31).fit(x[:100], y[:100])
    assert 0.05 < bits_per_spike(truth, facemap.predict(test), "mean", 1e-3).mean() < found


def test_continuous_targets():
    x, _, rates = animal(1, trials=60)
    target = 100 + 5 * np.log(rates)
    model = TCN(filter_length=11).fit(x[:45], target[:45])
    assert model.kind_ == "continuous"
    assert r2(target[45:], model.predict(x[45:])).mean() > 0.8


def test_same_seed_same_network():
    x, y, _ = animal(0, trials=12)
    first, again, other = (TCN(**QUICK, seed=s).fit(x, y).predict(x) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_sessions_of_different_width(tmp_path):
    a, b = animal(0, trials=30), animal(1, trials=20, units=3, features=4)
    xs, ys = [a[0], b[0]], [a[1], b[1]]
    model = TCN(epochs=10, filter_length=9).fit(xs, ys)
    predicted = model.predict(xs)
    assert [p.shape for p in predicted] == [y.shape for y in ys]
    assert bits_per_spike(ys[1], predicted[1], "mean").mean() > 0.1
    np.testing.assert_array_equal(model.predict(xs[1], session=1), predicted[1])
    with pytest.raises(DataError, match="which one"):
        model.predict(xs[0])
    model.save(tmp_path / "model")
    again = TCN.load(tmp_path / "model")
    for p, q in zip(again.predict(xs), predicted, strict=True):
        np.testing.assert_array_equal(p, q)
    with pytest.raises(DataError, match="same features"):
        TCN("facemap", epochs=1).fit(xs, ys)


def test_missing_values_and_silent_units():
    x, y, _ = animal(0, trials=12)
    x, y = x.copy(), y.astype(float)
    x[0, 3, 1] = np.nan
    y[1, 2, 0] = np.nan
    y[..., 5] = np.nan
    y[..., 6] = 0
    model = TCN(**QUICK).fit(x, y)
    assert model.n_left_out_ == 2
    predicted = model.predict(x)
    assert np.isnan(predicted[0, 3]).all() and np.isnan(predicted[..., 5]).all()
    others = np.delete(predicted, 5, axis=2)
    assert np.isnan(others).sum() == 7 and np.nanmin(others) >= 0
    one = TCN(**QUICK).fit(x, y[..., 0])
    assert one.predict(x).shape == x.shape[:2]


def test_refusals():
    x, y, _ = animal(0, trials=6)
    with pytest.raises(NotFittedError):
        TCN().predict(x)
    with pytest.raises(ConfigError, match="preset"):
        TCN("other").fit(x, y)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="odd"):
        TCN(filter_length=4).fit(x, y)
    with pytest.raises(DataError, match="held out"):
        TCN().fit(x, y, validate=np.zeros(6, bool))
