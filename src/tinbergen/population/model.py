"""One masked transformer over spikes and behaviour: what is hidden is predicted from the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinbergen.nn.dropout import Dropout
from tinbergen.nn.rotary import rotation
from tinbergen.nn.transformer import Block, init_transformer
from tinbergen.population.batch import Batch
from tinbergen.population.calibration import Calibration
from tinbergen.population.config import PopulationConfig
from tinbergen.population.linear_path import LinearPath
from tinbergen.population.masks import SCHEMES, Hidden
from tinbergen.population.slots import over_slots
from tinbergen.population.units import Stitch, UnitTables
from tinbergen.population.vocabulary import Vocabulary

_MTM_STITCH = 668
_NORM_EPS = 1e-5


@dataclass
class Prediction:
    """What the network says of everything, hidden or not.

    Attributes
    ----------
    log_rates
        ``(slot, time, unit)`` float32: log spikes/bin.
    values
        Modality -> ``(sample, time, width)`` or ``(sample, width)`` float32: normalised values,
        log rates, or log odds of the classes.
    state
        ``(sample, time, network width)``: the spike tokens after the last layer, mean over the
        slots of a sample where each has its own.
    """

    log_rates: Tensor
    values: dict[str, Tensor]
    state: Tensor


class PopulationModel(nn.Module):
    """Tokens of spikes and of behaviours, a transformer, and a way out for each.

    Parameters
    ----------
    vocabulary
        Its sessions are those that there are tables for.
    folds
        Parts of the training windows that the linear path is fitted without, for training on them.
    """

    first_block: Tensor

    def __init__(self, config: PopulationConfig, vocabulary: Vocabulary, folds: int = 0):
        super().__init__()
        self.config = config
        net, width = config.network, config.network.width
        self.dynamic = [
            n for n, m in config.modalities.items() if not (m.static and self._one_token)
        ]
        self.static = [n for n in config.modalities if n not in self.dynamic]
        self.tables = UnitTables(vocabulary, width, config.units)
        rank = config.units.linear_rank
        self.linear = LinearPath(vocabulary, config) if rank else None
        self.crossfit = None
        if rank and folds:
            self.crossfit = LinearPath(vocabulary, config, folds, persistent=False)
        self.calibration = Calibration(vocabulary) if rank else None
        sizes = [s.n_units for s in vocabulary.sessions]
        shared = _MTM_STITCH if config.units.read == "stitch-mtm" else None
        self.stitch = None if config.units.read == "table" else Stitch(sizes, width, shared)
        if net.layout == "patches":
            first = torch.as_tensor(vocabulary.first_block)
            self.register_buffer("first_block", first, persistent=False)
            self.patch_embedding = nn.Parameter(torch.randn(int(first[-1]), width) * 0.02)
        self.token_dropout = Dropout(net.token_dropout)
        self.read, self.out = nn.ModuleDict(), nn.ModuleDict()
        self.mask_token = nn.ParameterDict({"spikes": nn.Parameter(torch.zeros(width))})
        for name, modality in config.modalities.items():
            size = vocabulary.widths[name]
            inside = nn.Embedding(size, width) if modality.kind == "categorical" else None
            self.read[name] = inside or nn.Linear(size, width)
            out = nn.Linear(width, size)
            if rank:  # the linear path speaks first
                nn.init.zeros_(out.weight)
                nn.init.zeros_(out.bias)
            self.out[name] = out
            self.mask_token[name] = nn.Parameter(torch.zeros(width))
        self.modality_embedding = nn.Parameter(
            torch.randn(1 + len(config.modalities), width) * 0.02
        )
        if net.time_embedding:
            self.time_embedding = nn.Parameter(torch.randn(vocabulary.n_bins, width) * 0.02)
        if net.session_embedding:
            self.session_embedding = nn.Parameter(torch.zeros(len(sizes), width))
        if net.prompt:
            self.prompt_embedding = nn.Parameter(torch.randn(len(SCHEMES), width) * 0.02)
        self.blocks = nn.ModuleList(
            Block(width, net.heads, net.hidden, _NORM_EPS, net.dropout) for _ in range(net.depth)
        )
        self.norm = nn.LayerNorm(width, eps=_NORM_EPS)
        init_transformer(self.blocks, max(net.depth, 1))

    @property
    def _one_token(self) -> bool:
        return self.config.network.static_tokens == "one"

    def forward(self, batch: Batch, hidden: Hidden, scheme: Tensor | None = None) -> Prediction:
        """Predict everything from what is not hidden.

        ``scheme`` ``(sample,)`` chooses the prompt, in models that have one.
        """
        visible, _ = hidden.counts(batch)
        x = self.tables.read(batch, visible)
        slow = self.tables.slow_state(batch) if self.config.units.recent else None
        if self.config.network.layout == "patches":
            return self._from_patches(x, visible, batch, hidden, slow, scheme)
        if self.stitch is None:
            spikes = self.tables.tokens(x, visible, batch)
        else:
            spikes = self.stitch.tokens(x, batch)
        seen = over_slots(visible.any(dim=2, keepdim=True).float(), batch) > 0
        sequence = self.encode(spikes, seen, batch, hidden, slow, scheme)
        state = sequence[:, : batch.n_bins]
        log_rates = (self.stitch or self.tables).log_rates(state, batch)
        prediction = Prediction(log_rates, self._values(sequence, batch), state)
        return self._with_linear(prediction, x, visible, batch, hidden)

    def _from_patches(
        self,
        x: Tensor,
        visible: Tensor,
        batch: Batch,
        hidden: Hidden,
        slow: Tensor | None,
        scheme: Tensor | None,
    ) -> Prediction:
        """Predict with a token a bin of each block of units (NDT2)."""
        own = self.tables.patches(x, visible, batch)
        within = batch.block - self.first_block[batch.session[batch.sample[:: batch.per_row]]]
        within = within.repeat_interleave(batch.per_row)
        filled = batch.present.any(dim=1)
        at = batch.sample[filled], within[filled]
        n = int(within.max()) + 1
        tokens = own.new_zeros(batch.n_samples, n, batch.n_bins, own.shape[-1])
        tokens[at] = own[filled]
        seen = torch.zeros(tokens.shape[:3], dtype=torch.bool, device=x.device)
        seen[at] = visible.any(dim=2)[filled]
        there = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=x.device)
        there[at] = True
        where = own.new_zeros(tokens.shape[0], n, own.shape[-1])
        where[at] = self.patch_embedding[batch.block].repeat_interleave(batch.per_row, 0)[filled]
        sequence = self.encode(
            tokens.flatten(1, 2),
            seen.flatten(1)[..., None],
            batch,
            hidden,
            slow,
            scheme,
            where.repeat_interleave(batch.n_bins, dim=1),
            there.repeat_interleave(batch.n_bins, dim=1),
        )
        state = sequence[:, : n * batch.n_bins].unflatten(1, (n, batch.n_bins))
        log_rates = self.tables.log_rates(state[batch.sample, within], batch)
        share = there.to(state.dtype)[..., None, None]
        mean = (state * share).sum(dim=1) / share.sum(dim=1)
        prediction = Prediction(log_rates, self._values(sequence, batch, n), mean)
        return self._with_linear(prediction, x, visible, batch, hidden)

    def _with_linear(
        self, prediction: Prediction, x: Tensor, visible: Tensor, batch: Batch, hidden: Hidden
    ) -> Prediction:
        """Add what the linear path says, if there is one."""
        if self.linear is None or self.calibration is None:
            return prediction
        path, looked_up = self.path_of(batch)
        change, values = path(x, visible, looked_up, hidden)
        log_gain = self.calibration(change, batch)
        if self.stitch is None:
            log_gain = log_gain + self.tables.without_spikes(visible, batch)[:, None]
        both = {name: value + values.get(name, 0.0) for name, value in prediction.values.items()}
        return Prediction(prediction.log_rates + log_gain, both, prediction.state)

    def log_base(self, batch: Batch) -> Tensor:
        """Return the log spikes/bin of each unit before anything is seen, ``(slot, unit)``."""
        if self.stitch is None:
            return self.tables.base(batch)
        return self.tables.of_slots(self.tables.rate.log(), batch)

    def path_of(self, batch: Batch) -> tuple[LinearPath, Batch]:
        """Return the linear path for a batch, and the batch with its place in its tables.

        In training that which was not fitted to the windows of the batch.
        """
        if self.training and self.crossfit is not None:
            return self.crossfit, self.crossfit.of_copy(batch, batch.fold - 1)
        assert self.linear is not None
        return self.linear, batch

    def encode(
        self,
        spikes: Tensor,
        seen: Tensor,
        batch: Batch,
        hidden: Hidden,
        slow: Tensor | None = None,
        scheme: Tensor | None = None,
        where: Tensor | None = None,
        there: Tensor | None = None,
    ) -> Tensor:
        """Return all tokens after the last layer, ``(sample, token, width)``.

        Parameters
        ----------
        spikes
            ``(sample, token, width)``: what the visible units of each bin add up to; in one token
            a bin, or in one a bin and block of units, block after block.
        seen
            ``(sample, token, 1)`` bool: whether there is any.
        batch, hidden
            Behaviours, sessions, and what is hidden of them; units are not looked at.
        slow
            ``(sample, width)``, see :meth:`UnitTables.slow_state`.
        where, there
            With several blocks: embedding of each, ``(sample, token, width)``, and ``(sample,
            token)`` bool, whether it is one of the sample's.
        """
        spikes = torch.where(seen, spikes, self.mask_token["spikes"].to(spikes.dtype))
        spikes = self.token_dropout(spikes) + self.modality_embedding[0]
        if slow is not None:
            spikes = spikes + slow[:, None]
        if where is not None:
            spikes = spikes + where
        tokens = [self._placed(spikes, batch)]
        tokens += [self._behaviour(name, batch, hidden) for name in self.dynamic]
        sequence = torch.cat(tokens, dim=1)
        sequence, positions = self._with_statics(sequence, batch, hidden, scheme)
        turn = None
        if self.config.network.rotary:
            turn = rotation(positions, self.config.network.width // self.config.network.heads)
        if there is not None:
            others = there.new_ones(len(there), sequence.shape[1] - there.shape[1])
            there = torch.cat([there, others], dim=1)[:, None, None]
        for block in self.blocks:
            sequence = block(sequence, turn=turn, seen=there)
        return self.norm(sequence)

    # --- ways in --------------------------------------------------------------------------

    def _behaviour(self, name: str, batch: Batch, hidden: Hidden) -> Tensor:
        """Return a token a bin, ``(sample, time, width)``, or one of a static modality."""
        values, show = batch.values[name], batch.there[name] & ~hidden.values[name]
        categorical = self.config.modalities[name].kind == "categorical"
        tokens = self.read[name](values if categorical else values.float())
        tokens = torch.where(show[..., None], tokens, self.mask_token[name])
        number = 1 + list(self.config.modalities).index(name)
        tokens = self.token_dropout(tokens) + self.modality_embedding[number]
        if tokens.ndim == 2 and name in self.dynamic:
            tokens = tokens[:, None].expand(-1, batch.n_bins, -1)
        return self._placed(tokens, batch) if tokens.ndim == 3 else self._of_session(tokens, batch)

    def _placed(self, tokens: Tensor, batch: Batch) -> Tensor:
        if self.config.network.time_embedding:
            blocks = tokens.shape[1] // batch.n_bins
            tokens = tokens + self.time_embedding.repeat(blocks, 1)
        return self._of_session(tokens, batch)

    def _of_session(self, tokens: Tensor, batch: Batch) -> Tensor:
        if not self.config.network.session_embedding:
            return tokens
        mine = self.session_embedding[batch.session]
        return tokens + (mine[:, None] if tokens.ndim == 3 else mine)

    def _with_statics(
        self,
        sequence: Tensor,
        batch: Batch,
        hidden: Hidden,
        scheme: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Put the single tokens behind those of bins; return the bin of each token, too."""
        single = [self._behaviour(name, batch, hidden) for name in self.static]
        if self.config.network.prompt:
            single.append(self.prompt_embedding[self._prompts(batch, scheme)])
        bins = torch.arange(batch.n_bins, device=sequence.device)
        at = bins.repeat(sequence.shape[1] // batch.n_bins)
        if single:
            sequence = torch.cat([sequence, torch.stack(single, dim=1)], dim=1)
            at = torch.cat([at, at.new_zeros(len(single))])
        return sequence, at

    def _prompts(self, batch: Batch, scheme: Tensor | None) -> Tensor:
        if scheme is None:
            number = list(SCHEMES).index("neuron")
            return torch.full((batch.n_samples,), number, device=batch.sample.device)
        return scheme

    # --- ways out -------------------------------------------------------------------------

    def _values(self, sequence: Tensor, batch: Batch, patches: int = 1) -> dict[str, Tensor]:
        """Return what each modality's own tokens say of it."""
        out, n_bins = {}, batch.n_bins
        for i, name in enumerate(self.dynamic, start=patches):
            tokens = sequence[:, i * n_bins : (i + 1) * n_bins]
            if self.config.modalities[name].static:  # repeated in every bin
                tokens = tokens.mean(dim=1)
            out[name] = self.out[name](tokens).float()
        first = (patches + len(self.dynamic)) * n_bins
        for i, name in enumerate(self.static):
            out[name] = self.out[name](sequence[:, first + i]).float()
        return out
