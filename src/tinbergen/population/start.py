"""What a population model knows before its first step: fitted in closed steps, session by session.

Factors that units share, what joins them to behaviours, traits of each unit, and rates as they are
in the validation windows. Everything is fitted a few times more without a part of the training
windows: training then sees what the factors say of windows that they were not fitted to, as it
will be at test, and the network learns what they really leave, not what is left of an overfit. (A
session of one or two training windows has nothing to leave out.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tinbergen.population.batch import Batch
from tinbergen.population.behaviour_fits import fit_behaviour, fit_direct
from tinbergen.population.calibration import Calibration, Foretold, fit_calibration, inputs
from tinbergen.population.corpus import Corpus
from tinbergen.population.factors import factor_tables, relative_slope
from tinbergen.population.linear_path import Change, LinearPath
from tinbergen.population.masks import Hidden, nothing_hidden
from tinbergen.population.model import PopulationModel
from tinbergen.population.vocabulary import BELIEF
from tinbergen.progress import Progress
from tinbergen.training.prefetch import to_device

FOLDS = 3
"""Parts of the training windows that one fit each does without."""
_GROUPS = 5  # of units
_MOST_WINDOWS = 1000  # to join behaviours to factors, or describe units
_AT_ONCE, _NUMBERS_AT_ONCE = 64, 16_000_000  # windows, counts
_LEAST_RATE = 1e-3  # spikes/bin
_LEAST_SCALE = 0.1
_ENOUGH = 200  # windows
_MOST_FORETOLD, _OF_A_SESSION, _LARGEST = 1200, 600, 4800  # windows; of many sessions
_MOST_DRAWS, _MOST_ENTRIES = 6, 100_000  # of a window; at once

Draw = Callable[[Batch, torch.Generator], Hidden]


def hold_out(corpus: Corpus, train: np.ndarray) -> None:
    """Cut the training windows of each session into parts: ``corpus.fold`` is 1 to 3 there."""
    corpus.fold[:] = 0
    for number in np.unique(corpus.session[train]):
        rows = np.sort(train[corpus.session[train] == number])
        for fold, part in enumerate(np.array_split(rows, FOLDS), start=1):
            corpus.fold[part] = fold


def fit_start(
    model: PopulationModel,
    corpus: Corpus,
    train: np.ndarray,
    validation: np.ndarray,
    draw: Draw,
    carried_rate: float | None = None,
) -> None:
    """Fill in all tables that are fitted and not trained.

    Parameters
    ----------
    train, validation
        Windows of the corpus.
    draw
        What to hide of a batch, as in training.
    carried_rate
        Where the calibration is that of a model of other sessions: how fast it learns from these
        windows, as a share of the usual; 0 leaves it as it is. None: it begins anew.
    """
    if model.linear is None or model.crossfit is None or model.calibration is None:
        return
    # Minutes for thousands of units, and a stop by a signal waits for them.
    with Progress(len(corpus.sessions) * (1 + FOLDS), "fitting the factors", "fits") as progress:
        for session in corpus.sessions:
            number = corpus.vocabulary.number(session.name)
            own, choose = (rows[corpus.session[rows] == number] for rows in (train, validation))
            rank = _fit(model, model.linear, 0, corpus, number, own, choose)
            progress.advance(note=session.name)
            for fold in range(1, FOLDS + 1):
                rest = own[corpus.fold[own] != fold]
                rest = rest if len(rest) > 1 else own
                _fit(model, model.crossfit, fold - 1, corpus, number, rest, choose, rank)
                progress.advance()
    model.calibration.unit_traits.copy_(describe_units(model, corpus, train, validation))
    if carried_rate is None:
        standardise(model.calibration, corpus)
    if carried_rate != 0:
        generator = torch.Generator().manual_seed(corpus.config.train.seed)
        # Validation windows are most like those of the test; others fill up what is missing.
        missing = max(0, _ENOUGH - len(validation))
        fill = train[:: -(-len(train) // missing)] if missing else train[:0]
        match_rates(model.eval(), corpus, validation)
        parts = foretell(model, corpus, validation, draw, generator)
        parts += foretell(model.train(), corpus, fill, draw, generator)
        rate = 1.0 if carried_rate is None else carried_rate
        fit_calibration(model.calibration, Foretold.of(parts), generator, rate)
    model.train()


def _fit(
    model: PopulationModel,
    path: LinearPath,
    copy: int,
    corpus: Corpus,
    number: int,
    train: np.ndarray,
    validation: np.ndarray,
    rank: int | None = None,
) -> int:
    """Fit one copy of the tables of a session; return how many factors it has."""
    vocabulary = corpus.vocabulary
    known = vocabulary.sessions[number]
    session = next(s for s in corpus.sessions if s.name == known.name)
    first = corpus.rows(session.name)[0]
    found = factor_tables(
        session, known, train - first, validation - first, model.config.units, rank
    )
    path.linear_kernel[number + copy * path.sessions] = torch.as_tensor(found.pop("linear_kernel"))
    at = int(vocabulary.first_block[number]) + copy * path.blocks

    def put(name: str, values: np.ndarray) -> None:
        path.get_buffer(name)[at:].flatten(0, 1)[: len(values)] = torch.as_tensor(values)

    for name, values in found.items():
        put(name, values)
    chosen = [_some(rows) for rows in (train, validation) if len(rows)]
    batches = [path.of_copy(_batch(corpus, rows), torch.tensor(copy)) for rows in chosen]
    factors = partial(_factors, model, path)
    own = path.behaviour, number + copy * path.sessions, batches
    seen = fit_behaviour(*own, factors)
    rates = np.array(known.rates)
    counts = [session.counts[rows - first] for rows in chosen]
    direct = fit_direct(*own, seen, counts, rates, found["linear_out"])
    put("direct_out", direct)
    put("direct_in", direct / relative_slope(rates)[:, None] * found["linear_scale"][:, None])
    return int((found["linear_in"] != 0).any(axis=0).sum())


def _factors(model: PopulationModel, path: LinearPath, batch: Batch, expected: Tensor) -> Tensor:
    """Return the factors that all spikes of a batch tell of."""
    visible = batch.present[:, None, :].expand(-1, batch.n_bins, -1)
    first_copy = replace(batch, block=batch.block % path.blocks)
    with torch.no_grad():
        return path.factors(model.tables.read(first_copy, visible), visible, batch, expected).mean


def describe_units(
    model: PopulationModel, corpus: Corpus, train: np.ndarray, validation: np.ndarray
) -> Tensor:
    """Measure what each unit is like, from windows that its factors were not fitted to.

    Its log rate; by how much its counts change for a foretold change of one, as if a spike's
    worth had been seen to change by one; how much its foretold log rates vary; log of the variance
    of its counts over their mean.

    Returns
    -------
    ``(block, unit, 4)``, in the order of :data:`~tinbergen.population.calibration.TRAITS`.
    """
    sums = torch.zeros(8, *model.tables.rate.shape, dtype=torch.float64)
    for rows, training in ((train, True), (validation, False)):
        model.train(training)
        some = [_some(rows[corpus.session[rows] == n]) for n in np.unique(corpus.session[rows])]
        for batch in _in_parts(corpus, np.concatenate([rows[:0], *some])):
            counts = batch.counts.double()
            log_rates = _unseen(model, batch).clamp(min=np.log(_LEAST_RATE)).double()
            rates, present = log_rates.exp(), batch.present[:, None, :].expand_as(counts)
            one = torch.ones_like(rates)
            pairs = (
                *((one, one), (counts, one), (rates, one), (counts, rates), (rates, rates)),
                *((counts, counts), (log_rates, one), (log_rates, log_rates)),
            )
            for total, (a, b) in zip(sums, pairs, strict=True):
                _add(total, (a * b * present).sum(dim=1), batch)
    n = sums[0].clamp(min=1)
    y, r, yr, rr, yy, log_r, log_rr = sums[1:] / n
    slope = (n * (yr - y * r) + r) / (n * (rr - r**2) + r).clamp(min=1e-12)
    spread = (log_rr - log_r**2).clamp(min=0).sqrt()
    dispersion = ((yy - y**2) / (y + 1e-3) + 0.1).log()
    rate = y.clamp(min=_LEAST_RATE).log()
    return torch.stack([rate, slope, spread, dispersion], dim=-1).float()


def standardise(calibration: Calibration, corpus: Corpus) -> None:
    """Let the traits of all units of a corpus have mean 0 and spread 1."""
    vocabulary = corpus.vocabulary
    traits = torch.cat(
        [
            calibration.unit_traits[first:].flatten(0, 1)[: session.n_units]
            for first, session in zip(vocabulary.first_block, vocabulary.sessions, strict=False)
        ]
    )
    calibration.centre.copy_(traits.mean(dim=0))
    calibration.scale.copy_(traits.std(dim=0, correction=0) + _LEAST_SCALE)


def foretell(
    model: PopulationModel,
    corpus: Corpus,
    rows: np.ndarray,
    draw: Draw,
    generator: torch.Generator,
) -> list[Foretold]:
    """Hide units and bins of windows, and tell them from the rest: as in training, or at test."""
    if not len(rows) or model.calibration is None:
        return []
    most = min(max(_MOST_FORETOLD, _OF_A_SESSION * len(corpus.sessions)), _LARGEST)
    rows, found = rows[:: -(-len(rows) // most)], []
    for _ in range(min(_MOST_DRAWS, most // len(rows))):
        for batch in _in_parts(corpus, rows):
            hidden = draw(batch, generator)
            visible, scored = hidden.counts(batch)
            path, there = model.path_of(batch)
            with torch.no_grad():
                change, _ = path(model.tables.read(batch, visible), visible, there, hidden)
                base = model.log_base(batch)
            at = torch.nonzero(scored.transpose(1, 2))
            chosen = torch.randperm(len(at), generator=generator)[:_MOST_ENTRIES]
            slot, unit, time = at[chosen].unbind(dim=1)
            traits = model.calibration.unit_traits[batch.block[slot // batch.per_row], unit]
            of_units = Change(*(values.transpose(1, 2) for values in change))
            told = inputs(of_units)[slot, unit, time]
            counts = batch.counts[slot, time, unit].float()
            found.append(Foretold(told, traits, base[slot, unit], counts))
    return found


def match_rates(model: PopulationModel, corpus: Corpus, validation: np.ndarray) -> None:
    """Shift each unit's log rate by what it has in these windows beyond what others tell of it.

    As if ten spikes more had been seen as expected: rates drift, and what comes after training
    is nearer to the validation windows. Then once more without any spike, when behaviours alone
    tell: there nothing says how far units drifted together.
    """
    if model.linear is None or model.stitch is not None or not len(validation):
        return
    model.tables.unit_shift.zero_()
    model.tables.unit_shift_alone.zero_()
    for shift, groups in (
        (model.tables.unit_shift, _groups),
        (model.tables.unit_shift_alone, lambda batch: [batch.present]),
    ):
        observed, foreseen = torch.zeros(2, *shift.shape, device=shift.device)
        for batch in _in_parts(corpus, validation, shift.device):
            for asked in groups(batch):
                hidden = nothing_hidden(batch)
                hidden.units = asked
                with torch.no_grad():
                    rates = model(batch, hidden).log_rates.exp()
                _add(observed, batch.counts.sum(dim=1) * asked, batch)
                _add(foreseen, rates.sum(dim=1) * asked, batch)
        shift.copy_(((observed + BELIEF) / (foreseen + BELIEF)).log())


def _unseen(model: PopulationModel, batch: Batch) -> Tensor:
    """Return log rates by the linear path alone, of units that are hidden a group at a time."""
    path, there = model.path_of(batch)
    nothing, found = nothing_hidden(batch), torch.zeros(batch.counts.shape)
    base = model.log_base(batch)
    for asked in _groups(batch):
        visible = (batch.present & ~asked)[:, None, :].expand(-1, batch.n_bins, -1)
        with torch.no_grad():
            change, _ = path(model.tables.read(batch, visible), visible, there, nothing)
            found = torch.where(asked[:, None], base[:, None] + change.log_gain, found)
    return found


def _groups(batch: Batch) -> Iterator[Tensor]:
    """Yield which units to hide together, ``(slot, unit)``, until each was hidden once."""
    unit = torch.arange(batch.present.shape[1], device=batch.present.device)
    for group in range(_GROUPS):
        yield batch.present & (unit % _GROUPS == group)


def _add(total: Tensor, values: Tensor, batch: Batch) -> None:
    """Add ``(slot, unit)`` to the table of units."""
    each = values.view(len(batch.block), batch.per_row, -1).sum(dim=1)
    total.index_add_(0, batch.block, each.to(total.dtype))


def _in_parts(
    corpus: Corpus, rows: np.ndarray, device: torch.device | None = None
) -> Iterator[Batch]:
    largest = max(s.n_units for s in corpus.sessions) * corpus.vocabulary.n_bins
    at_once = min(_AT_ONCE, max(1, _NUMBERS_AT_ONCE // largest))
    for start in range(0, len(rows), at_once):
        yield _batch(corpus, rows[start : start + at_once], device)


def _batch(corpus: Corpus, rows: np.ndarray, device: torch.device | None = None) -> Batch:
    return to_device(corpus.batch(rows), device or torch.device("cpu"))


def _some(rows: np.ndarray) -> np.ndarray:
    """Return at most so many rows, evenly."""
    return rows[:: max(1, -(-len(rows) // _MOST_WINDOWS))]
