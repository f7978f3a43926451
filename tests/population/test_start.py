"""What a model is fitted to before its first step: calibration, held-out parts, traits."""

import numpy as np
import pytest
import torch
from small import make_config, make_corpus, make_model, make_session, tensors

from tinbergen import progress
from tinbergen.population.calibration import Calibration, Foretold, fit_calibration, inputs
from tinbergen.population.leave_one_out import leave_one_out
from tinbergen.population.linear_path import Change
from tinbergen.population.masks import nothing_hidden
from tinbergen.population.start import FOLDS, describe_units, hold_out, match_rates
from tinbergen.population.task import PopulationTask


def test_each_training_window_is_of_one_part():
    sessions = [make_session("a", 5, windows=11), make_session("b", 9, windows=2)]
    corpus = make_corpus(sessions, make_config())
    train = np.concatenate([corpus.rows("a", np.arange(8)), corpus.rows("b")])
    hold_out(corpus, train)
    np.testing.assert_array_equal(corpus.fold[:8], [1, 1, 1, 2, 2, 2, 3, 3])
    np.testing.assert_array_equal(corpus.fold[8:11], 0)
    np.testing.assert_array_equal(corpus.fold[11:], [1, 2])


@pytest.mark.parametrize("fold", range(1, FOLDS + 1))
def test_a_part_is_told_by_factors_that_have_not_seen_it(fold):
    session = make_session("a", 20, windows=30)
    rows = np.arange(24)
    corpus = make_corpus([session], make_config(units={"linear_rank": 1}), {"a": rows})

    def tables(counts):
        corpus._counts = counts
        model = PopulationTask(corpus, rows, np.arange(24, 30)).build()
        batch = tensors(corpus.batch(rows[corpus.fold[rows] == fold]))
        path, there = model.train().path_of(batch)
        names = ("linear_in", "linear_scale", "linear_out", "linear_kernel")
        mine = [path.get_buffer(n)[getattr(there, "session" if "kernel" in n else "block")]
                for n in names]  # fmt: skip
        return [table.clone() for table in mine]

    counts = corpus._counts.copy()
    before = tables(counts)
    changed = counts.reshape(30, -1).copy()
    changed[rows[corpus.fold[rows] == fold]] = 7
    session.counts[rows[corpus.fold[rows] == fold]] = 7
    for one, other in zip(before, tables(changed.ravel()), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_parts_share_a_batch_without_meeting():
    """A window's prediction does not depend on which others are in its batch."""
    sessions = [make_session("a", 21), make_session("b", 70)]
    corpus = make_corpus(sessions, make_config())
    model = PopulationTask(corpus, np.arange(len(corpus)), np.zeros(0, int)).build().train()

    def gains(windows):
        batch = tensors(corpus.batch(np.asarray(windows)))
        path, there = model.path_of(batch)
        visible = batch.present[:, None, :].expand(-1, batch.n_bins, -1)
        change, _ = path(model.tables.read(batch, visible), visible, there, nothing_hidden(batch))
        filled = batch.present.any(dim=1) & (batch.sample == 0)
        return torch.stack(change)[:, filled]

    torch.testing.assert_close(gains([3]), gains([3, 0, 20, 11, 5, 14]), rtol=1e-4, atol=1e-5)


def test_traits_are_those_of_the_counts():
    session = make_session("a", 15, windows=20)
    corpus = make_corpus([session], make_config())
    model = PopulationTask(corpus, np.arange(20), np.zeros(0, int)).build()
    traits = describe_units(model, corpus, np.arange(20), np.zeros(0, int))[0, :15].numpy()
    y = session.counts.astype(float)
    np.testing.assert_allclose(traits[:, 0], np.log(y.mean(axis=(0, 1))), rtol=1e-5)
    fano = y.var(axis=(0, 1)) / (y.mean(axis=(0, 1)) + 1e-3)
    np.testing.assert_allclose(traits[:, 3], np.log(fano + 0.1), rtol=1e-4)


def test_calibration_starts_as_nothing():
    corpus = make_corpus([make_session("a", 15)], make_config())
    calibration = Calibration(corpus.vocabulary)
    batch = tensors(corpus.batch(np.arange(3)))
    change = Change(*torch.randn(3, len(batch.sample), batch.n_bins, batch.present.shape[1]))
    torch.testing.assert_close(calibration(change, batch), change.log_gain)


def test_calibration_finds_what_a_foretold_change_is_worth():
    """Half of each change is true for units of one kind; of those left open, a quarter less."""
    rng = torch.Generator().manual_seed(0)
    corpus = make_corpus([make_session("a", 15)], make_config())
    calibration = Calibration(corpus.vocabulary)
    gain = 0.7 * torch.randn(4000, 10, generator=rng)
    kind = torch.randint(2, (4000,), generator=rng).float() * 2 - 1
    traits = torch.stack([torch.zeros(4000), kind, *torch.zeros(2, 4000)], dim=1)
    untold = torch.rand(4000, 10, generator=rng)
    worth = (torch.where(kind > 0, 1.0, 0.5)[:, None] - 0.25 * untold) * gain
    counts = torch.poisson(worth.exp(), generator=rng)
    each = traits[:, None].expand(-1, 10, -1).flatten(0, 1)
    base = torch.zeros(gain.numel())
    change = Change(gain, 1 - untold, untold)
    foretold = Foretold(inputs(change).flatten(0, 1), each, base, counts.flatten())
    fit_calibration(calibration, foretold, rng)
    with torch.no_grad():
        found = calibration.of_units(change, traits)
    assert (found - worth).abs().mean() < 0.25 * (gain - worth).abs().mean()


def test_calibration_of_a_unit_is_that_of_the_batch():
    corpus = make_corpus([make_session("a", 15), make_session("b", 70)], make_config())
    model = make_model(corpus)
    assert model.calibration is not None
    batch = tensors(corpus.batch(np.array([1, 14, 3])))
    change = Change(*torch.randn(3, len(batch.sample), batch.n_bins, batch.present.shape[1]))
    whole = model.calibration(change, batch)
    for slot in range(len(batch.sample)):
        traits = model.calibration.unit_traits[batch.block[slot // batch.per_row]]
        own = Change(*(values[slot].T for values in change))
        torch.testing.assert_close(model.calibration.of_units(own, traits), whole[slot].T)


def test_nothing_of_the_fit_is_left_to_the_first_step():
    corpus = make_corpus([make_session("a", 15)], make_config())
    model = PopulationTask(corpus, np.arange(9), np.arange(9, 12)).build()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_units_unlike_all_others_are_not_bent_without_bound():
    corpus = make_corpus([make_session("a", 15)], make_config())
    model = make_model(corpus)
    assert model.calibration is not None
    change, far = Change(*torch.zeros(3, 2, 10)), torch.tensor([[3.0] * 4, [300.0] * 4])
    one, other = model.calibration.of_units(change, far)
    torch.testing.assert_close(one, other)


def test_a_long_fit_says_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SILENT_S", 0.0)
    corpus = make_corpus([make_session("a", 15)], make_config())
    PopulationTask(corpus, np.arange(9), np.arange(9, 12)).build()
    assert "fitting the factors: 4/4 fits" in capsys.readouterr().err


@pytest.mark.parametrize("validation", [[], [8, 9, 10, 11]])
def test_sessions_without_validation_windows_start_too(validation):
    sessions = [make_session("a", 15), make_session("b", 9, windows=1)]
    corpus = make_corpus(sessions, make_config())
    train = np.append(np.arange(8), 12)
    model = PopulationTask(corpus, train, np.array(validation, int)).build()
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_rates_without_spikes_follow_a_drift_that_units_share():
    session = make_session("a", 15, windows=30)
    session.counts[24:] *= 3
    corpus, late = make_corpus([session], make_config()), np.arange(24, 30)
    model = PopulationTask(corpus, np.arange(24), late).build().eval()
    match_rates(model, corpus, late)
    batch = tensors(corpus.batch(late))
    blind = nothing_hidden(batch)
    blind.units = batch.present

    def totals(hidden):
        with torch.no_grad():
            rates = model(batch, hidden).log_rates.exp() * batch.present[:, None]
        return rates.sum(dim=(0, 1))[:15].double().numpy()

    matched, seen = totals(blind), totals(nothing_hidden(batch))
    alone = model.tables.unit_shift_alone.clone()
    model.tables.unit_shift_alone.zero_()
    plain, counted = totals(blind), session.counts[24:].sum(axis=(0, 1))
    np.testing.assert_allclose(matched, plain * (counted + 10) / (plain + 10), rtol=1e-3)
    np.testing.assert_array_equal(totals(nothing_hidden(batch)), seen)
    model.tables.unit_shift_alone.copy_(alone)
    # A unit that is the only one of its group is told from nothing too.
    one = torch.zeros_like(batch.present)
    one[:, 3] = batch.present[:, 3]
    scheme = torch.zeros(batch.n_samples, dtype=torch.long)
    with torch.no_grad():
        lone = leave_one_out(model, batch, one, nothing_hidden(batch), scheme)[:, :, 3]
        told = model(batch, blind).log_rates[:, :, 3]
    filled = batch.present[:, 3]
    torch.testing.assert_close(lone[filled], told[filled], rtol=1e-4, atol=1e-4)
