"""Asking a trained network: what is given, what is wanted, in which windows of one session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tinbergen.errors import ConfigError
from tinbergen.population.batch import BLOCK, Batch
from tinbergen.population.corpus import Corpus
from tinbergen.population.leave_one_out import leave_one_out
from tinbergen.population.masks import SCHEMES, Hidden, nothing_hidden
from tinbergen.population.model import PopulationModel, Prediction
from tinbergen.population.wide import channels
from tinbergen.training.prefetch import to_device

SpikeTask = Literal["co_smoothing", "forward", "intra_region", "inter_region"]
SPIKES = "spikes"
_WINDOWS_AT_ONCE = 32
_PROMPTS = {
    "encoding": "encoding",
    "decoding": "decoding",
    "co_smoothing": "neuron",
    "forward": "future",
    "intra_region": "intra_region",
    "inter_region": "inter_region",
}


class Asker:
    """A network and the windows that it can be asked about.

    Parameters
    ----------
    model
        In eval mode, on the device to compute on.
    corpus
        With the sessions to ask about.
    """

    def __init__(self, model: PopulationModel, corpus: Corpus):
        self.model, self.corpus = model, corpus
        self.device = next(model.parameters()).device

    def encoding(self, session: str, windows: np.ndarray, given: Sequence[str]) -> np.ndarray:
        """Predict all spikes from behaviours alone: ``(window, time, unit)`` spikes/bin."""

        def hide(batch: Batch) -> Hidden:
            hidden = self._given(batch, given)
            hidden.bins = torch.ones_like(hidden.bins)
            return hidden

        return self._rates(session, windows, hide, "encoding")

    def decoding(
        self, session: str, windows: np.ndarray, target: str, given: Sequence[str]
    ) -> np.ndarray:
        """Predict a behaviour from spikes, or from other behaviours, or both.

        Returns
        -------
        In the units of the session's data: ``(window, time, width)`` or, static, ``(window,
        width)``; for classes their probabilities, in the order of the vocabulary's classes.
        """
        if target in given:
            raise ConfigError(f"{target!r} is both given and asked for.")

        def hide(batch: Batch) -> Hidden:
            hidden = self._given(batch, given)
            if SPIKES not in given:
                hidden.bins = torch.ones_like(hidden.bins)
            return hidden

        parts = [
            prediction.values[target].cpu()
            for _, prediction in self._ask(session, windows, hide, "decoding")
        ]
        return self._plain(session, target, torch.cat(parts))

    def spikes(
        self,
        session: str,
        windows: np.ndarray,
        task: SpikeTask,
        given: Sequence[str] = (),
        *,
        folds: int | None = None,
        future: int = 1,
    ) -> np.ndarray:
        """Predict spikes from other spikes: ``(window, time, unit)`` spikes/bin.

        Parameters
        ----------
        task
            ``co_smoothing``: each unit from all others. ``intra_region``: from the others of its
            region. ``inter_region``: the units of a region from those of all others. ``forward``:
            the last bins from those before; all other bins are NaN.
        given
            Behaviours that are visible as well.
        folds
            Hide the units in so many groups instead of one by one: quicker, a little harder.
        future
            Bins that ``forward`` predicts.
        """
        if task == "forward":
            return self._forward(session, windows, given, future)
        if task == "inter_region":
            return self._by_groups(session, windows, given, self._regions(session), task)
        if folds is None:
            return self._one_by_one(session, windows, given, task)
        return self._by_groups(session, windows, given, self._folds(session, folds, task), task)

    def from_units(
        self,
        session: str,
        windows: np.ndarray,
        visible: np.ndarray,
        given: Sequence[str] = (),
    ) -> np.ndarray:
        """Predict all units from some, those of one region for example.

        Parameters
        ----------
        visible
            ``(unit,)`` bool.

        Returns
        -------
        ``(window, time, unit)`` spikes/bin; of the visible ones what the network makes of them.
        """

        def hide(batch: Batch) -> Hidden:
            hidden = self._given(batch, given)
            hidden.units = self._slots(batch, ~visible)
            return hidden

        return self._rates(session, windows, hide, "inter_region")

    def states(self, session: str, windows: np.ndarray, given: Sequence[str]) -> np.ndarray:
        """Return what the network makes of each bin, ``(window, time, width)``."""

        def hide(batch: Batch) -> Hidden:
            hidden = self._given(batch, given)
            if SPIKES not in given:
                hidden.bins = torch.ones_like(hidden.bins)
            return hidden

        asked = self._ask(session, windows, hide, "co_smoothing")
        return np.concatenate([p.state.float().cpu().numpy() for _, p in asked])

    # --- the spike tasks ------------------------------------------------------------------

    def _forward(
        self, session: str, windows: np.ndarray, given: Sequence[str], future: int
    ) -> np.ndarray:
        n_bins = self.corpus.vocabulary.n_bins
        if not 0 < future < n_bins:
            raise ConfigError(f"future: expected 1 to {n_bins - 1} bins, found {future}.")

        def hide(batch: Batch) -> Hidden:
            hidden = self._given(batch, given)
            hidden.bins[:, -future:] = True
            for value in hidden.values.values():
                value[..., -future:] = True
            return hidden

        rates = self._rates(session, windows, hide, "forward")
        rates[:, :-future] = np.nan
        return rates

    def _one_by_one(
        self, session: str, windows: np.ndarray, given: Sequence[str], task: SpikeTask
    ) -> np.ndarray:
        out = np.full((len(windows), *self.corpus.counts(session).shape[1:]), np.nan)
        groups = [None] if task == "co_smoothing" else self._regions(session)
        for group in groups:
            parts = []
            for batch in self._batches(session, windows):
                among = batch.present if group is None else self._slots(batch, group)
                with torch.no_grad():
                    log_rates = leave_one_out(
                        self.model,
                        batch,
                        among,
                        self._given(batch, given),
                        self._prompt(batch, task),
                    )
                parts.append(self._dense(log_rates, batch, session))
            rates = np.exp(np.concatenate(parts))
            out = np.where(np.isnan(rates), out, rates)
        return out

    def _by_groups(
        self,
        session: str,
        windows: np.ndarray,
        given: Sequence[str],
        groups: Sequence[np.ndarray],
        task: SpikeTask,
    ) -> np.ndarray:
        """Hide one group of units after the other; each group says what is hidden and wanted."""
        out = np.full((len(windows), *self.corpus.counts(session).shape[1:]), np.nan)
        regions = self._region_of(session)
        for group in groups:
            hidden_units = group
            if task == "intra_region":
                hidden_units = group | (regions != regions[group][0])

            def hide(batch: Batch, units: np.ndarray = hidden_units) -> Hidden:
                hidden = self._given(batch, given)
                hidden.units = self._slots(batch, units)
                return hidden

            out[..., group] = self._rates(session, windows, hide, task)[..., group]
        return out

    def _region_of(self, session: str) -> np.ndarray:
        vocabulary = self.corpus.vocabulary
        return np.array(vocabulary.sessions[vocabulary.number(session)].regions)

    def _regions(self, session: str) -> list[np.ndarray]:
        """Return the units of each region, ``(unit,)`` bool, of regions with at least two."""
        names = self._region_of(session)
        groups = [names == name for name in np.unique(names)]
        return [group for group in groups if group.sum() > 1]

    def _folds(self, session: str, folds: int, task: SpikeTask) -> list[np.ndarray]:
        """Deal units out to folds; within regions, where these alone see each other."""
        names = self._region_of(session)
        whole = [np.ones(len(names), dtype=bool)]
        result = []
        for group in self._regions(session) if task == "intra_region" else whole:
            units = np.random.default_rng(0).permutation(np.flatnonzero(group))
            for fold in range(min(folds, len(units))):
                mask = np.zeros(len(names), dtype=bool)
                mask[units[fold::folds]] = True
                result.append(mask)
        return result

    # --- running the network --------------------------------------------------------------

    def _given(self, batch: Batch, given: Sequence[str]) -> Hidden:
        """Hide every behaviour that is not given."""
        unknown = [name for name in given if name != SPIKES and name not in batch.there]
        if unknown:
            raise ConfigError(
                f"The model knows no {unknown[0]!r}; it knows {', '.join([SPIKES, *batch.there])}."
            )
        hidden = nothing_hidden(batch)
        hidden.values = {
            name: torch.full_like(there, name not in given) for name, there in batch.there.items()
        }
        return hidden

    def _batches(self, session: str, windows: np.ndarray) -> Iterator[Batch]:
        numbers = self.corpus.rows(session, windows)
        for start in range(0, len(numbers), _WINDOWS_AT_ONCE):
            batch = self.corpus.batch(numbers[start : start + _WINDOWS_AT_ONCE])
            yield to_device(batch, self.device)

    def _ask(
        self,
        session: str,
        windows: np.ndarray,
        hide: Callable[[Batch], Hidden],
        task: str,
    ) -> Iterator[tuple[Batch, Prediction]]:
        for batch in self._batches(session, windows):
            with torch.no_grad():
                yield batch, self.model(batch, hide(batch), self._prompt(batch, task))

    def _prompt(self, batch: Batch, task: str) -> Tensor:
        number = list(SCHEMES).index(_PROMPTS[task])
        return torch.full((batch.n_samples,), number, device=self.device)

    def _rates(
        self, session: str, windows: np.ndarray, hide: Callable[[Batch], Hidden], task: str
    ) -> np.ndarray:
        asked = self._ask(session, windows, hide, task)
        parts = [self._dense(p.log_rates, batch, session) for batch, p in asked]
        return np.exp(np.concatenate(parts))

    def _slots(self, batch: Batch, units: np.ndarray) -> Tensor:
        """Return which units of each slot belong to ``units`` ``(unit,)`` bool of the session."""
        first = self.corpus.vocabulary.first_block[int(batch.session[0])]
        padded = np.zeros((-(-len(units) // BLOCK), BLOCK), dtype=bool)
        padded.reshape(-1)[: len(units)] = units
        mine = torch.as_tensor(padded, device=self.device)[batch.block - int(first)]
        return mine.repeat_interleave(batch.per_row, dim=0) & batch.present

    def _dense(self, values: Tensor, batch: Batch, session: str) -> np.ndarray:
        """Bring ``(slot, time, unit)`` into ``(sample, time, unit)`` of one session, float64."""
        n = self.corpus.vocabulary.sessions[int(batch.session[0])].n_units
        first = int(self.corpus.vocabulary.first_block[int(batch.session[0])])
        within = (batch.block - first).repeat_interleave(batch.per_row)
        filled = batch.present.any(dim=1)
        out = values.new_zeros(batch.n_samples, -(-n // BLOCK), batch.n_bins, BLOCK)
        out[batch.sample[filled], within[filled]] = values[filled]
        dense = out.transpose(1, 2).flatten(2)[:, :, :n]
        return dense.double().cpu().numpy()

    def _plain(self, session: str, target: str, values: Tensor) -> np.ndarray:
        """Undo the normalisation of a behaviour."""
        modality = self.corpus.config.modalities[target]
        if modality.kind == "categorical":
            return values.softmax(dim=-1).double().numpy()
        if modality.kind == "counts":
            return values.exp().double().numpy()
        vocabulary = self.corpus.vocabulary
        known = vocabulary.sessions[vocabulary.number(session)]
        plain = values.double().numpy()
        if target in vocabulary.axes:
            plain = channels(plain, vocabulary.axes[target])
        if target not in known.mean:
            return plain
        return plain * np.array(known.scale[target]) + np.array(known.mean[target])
