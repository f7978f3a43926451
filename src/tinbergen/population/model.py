"""One masked transformer over spikes and behaviour: what is hidden is predicted from the rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinbergen.nn.rotary import rotation
from tinbergen.nn.transformer import Block, init_transformer
from tinbergen.population.batch import Batch
from tinbergen.population.config import PopulationConfig
from tinbergen.population.masks import SCHEMES, Hidden
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
    """

    def __init__(self, config: PopulationConfig, vocabulary: Vocabulary):
        super().__init__()
        self.config = config
        net, width = config.network, config.network.width
        self.dynamic = [
            n for n, m in config.modalities.items() if not (m.static and self._one_token)
        ]
        self.static = [n for n in config.modalities if n not in self.dynamic]
        rates = torch.as_tensor(vocabulary.rates)
        self.tables = UnitTables(rates, width, config.units)
        sizes = [s.n_units for s in vocabulary.sessions]
        shared = _MTM_STITCH if config.units.read == "stitch-mtm" else None
        self.stitch = None if config.units.read == "table" else Stitch(sizes, width, shared)
        self.token_dropout = nn.Dropout(net.token_dropout)
        self.read, self.out = nn.ModuleDict(), nn.ModuleDict()
        self.mask_token = nn.ParameterDict({"spikes": nn.Parameter(torch.zeros(width))})
        for name, modality in config.modalities.items():
            size = vocabulary.widths[name]
            inside = nn.Embedding(size, width) if modality.kind == "categorical" else None
            self.read[name] = inside or nn.Linear(size, width)
            self.out[name] = nn.Linear(width, size)
            self.mask_token[name] = nn.Parameter(torch.zeros(width))
        self.modality_embedding = nn.Parameter(
            torch.randn(1 + len(config.modalities), width) * 0.02
        )
        bins = vocabulary.n_bins if net.time_embedding else 0
        self.time_embedding = nn.Parameter(torch.randn(bins, width) * 0.02)
        sessions = len(sizes) if net.session_embedding else 0
        self.session_embedding = nn.Parameter(torch.zeros(sessions, width))
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
        tokens = [self._spikes(x, visible, batch)]
        tokens += [self._behaviour(name, batch, hidden) for name in self.dynamic]
        n_bins = batch.n_bins
        sequence = torch.cat(tokens, dim=1)
        sequence, positions = self._with_statics(sequence, n_bins, batch, hidden, scheme)
        turn = None
        if self.config.network.rotary:
            head = self.config.network.width // self.config.network.heads
            turn = rotation(positions, head)
        for block in self.blocks:
            sequence = block(sequence, turn)
        sequence = self.norm(sequence)
        state = sequence[:, :n_bins]
        source = self.stitch or self.tables
        log_rates = source.log_rates(state, batch)
        if self.config.units.linear_rank:
            log_rates = log_rates + self.tables.linear(x, visible, batch)
        return Prediction(log_rates, self._values(sequence, n_bins), state)

    # --- ways in --------------------------------------------------------------------------

    def _spikes(self, x: Tensor, visible: Tensor, batch: Batch) -> Tensor:
        """Return a token a bin, ``(sample, time, width)``."""
        if self.stitch is None:
            tokens = self.tables.tokens(x, visible, batch)
        else:
            tokens = self.stitch.tokens(x, batch)
        seen = torch.zeros(batch.n_samples, batch.n_bins, device=x.device)
        seen = seen.index_add(0, batch.sample, visible.any(dim=2).float()) > 0
        tokens = torch.where(seen[:, :, None], tokens, self.mask_token["spikes"])
        tokens = self.token_dropout(tokens) + self.modality_embedding[0]
        if self.config.units.recent:
            tokens = tokens + self.tables.slow_state(batch)[:, None]
        return self._placed(tokens, batch)

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
            tokens = tokens + self.time_embedding
        return self._of_session(tokens, batch)

    def _of_session(self, tokens: Tensor, batch: Batch) -> Tensor:
        if not self.config.network.session_embedding:
            return tokens
        mine = self.session_embedding[batch.session]
        return tokens + (mine[:, None] if tokens.ndim == 3 else mine)

    def _with_statics(
        self,
        sequence: Tensor,
        n_bins: int,
        batch: Batch,
        hidden: Hidden,
        scheme: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Put the single tokens behind those of bins; return the bin of each token, too."""
        single = [self._behaviour(name, batch, hidden) for name in self.static]
        if self.config.network.prompt:
            single.append(self.prompt_embedding[self._prompts(batch, scheme)])
        at = torch.arange(n_bins, device=sequence.device).repeat(sequence.shape[1] // n_bins)
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

    def _values(self, sequence: Tensor, n_bins: int) -> dict[str, Tensor]:
        """Return what each modality's own tokens say of it."""
        out = {}
        for i, name in enumerate(self.dynamic, start=1):
            tokens = sequence[:, i * n_bins : (i + 1) * n_bins]
            if self.config.modalities[name].static:  # repeated in every bin
                tokens = tokens.mean(dim=1)
            out[name] = self.out[name](tokens).float()
        first = (1 + len(self.dynamic)) * n_bins
        for i, name in enumerate(self.static):
            out[name] = self.out[name](sequence[:, first + i]).float()
        return out
