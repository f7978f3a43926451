"""The network of BEAST: a masked autoencoder whose CLS token also takes part in a contrast."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tinbergen.beast.config import BeastConfig
from tinbergen.beast.mae import Decoder, random_mask
from tinbergen.nn.vit import ViT, gather_tokens

_TEMPERATURE_RANGE = (0.01, 1.0)


class ProjectionHead(nn.Module):
    """Three linear layers between the CLS token and the embedding that is compared.

    BEAST's shipped code: batch normalisation and ReLU after the first two, nothing after the
    last. Layer normalisation instead needs no statistics of a batch, so that it is the same for
    any number of processes.
    """

    def __init__(self, width: int, out: int, norm: str):
        super().__init__()
        kinds = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": lambda _: nn.Identity()}
        make = kinds[norm]
        self.layers = nn.Sequential(
            nn.Linear(width, width), make(width), nn.ReLU(),
            nn.Linear(width, width), make(width), nn.ReLU(),
            nn.Linear(width, out),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, width)`` to ``(N, out)``."""
        return self.layers(x)


class BeastOutput(NamedTuple):
    """What one pass over masked images gives; None for parts that the settings leave out."""

    cls: Tensor
    """``(N, width)``."""
    embedding: Tensor | None
    """``(N, head width)``, not normalised."""
    prediction: Tensor | None
    """``(N, M, patch values)`` of the decoded hidden patches."""
    decoded: Tensor
    """Their grid positions, ``(N, M)``."""
    hidden: Tensor
    """Grid positions of all hidden patches, ``(N, L - K)``; the decoded ones come first."""


class Beast(nn.Module):
    """Encoder, decoder and heads of one pretraining run.

    Parts with weight 0 are not built. Images come normalised, see
    :func:`tinbergen.nn.pixels.to_input`.
    """

    eigenframes: Tensor

    def __init__(self, config: BeastConfig):
        super().__init__()
        self.config = config
        goal, contrast, shape = config.objective, config.contrast, config.encoder
        self.encoder = ViT(shape)
        self.encoder.embed.requires_grad_(not goal.freeze_embedding)
        self.decoder = Decoder(config.decoder, shape) if goal.reconstruction else None
        self.head = None
        if contrast.weight:
            out = contrast.head_width or shape.width
            self.head = ProjectionHead(shape.width, out, contrast.head_norm)
        self.coefficients = None
        if goal.eigenframes and goal.reconstruction:
            self.coefficients = nn.Linear(shape.width, goal.eigenframes)
            nn.init.zeros_(self.coefficients.weight)
            basis = torch.zeros(goal.eigenframes, shape.n_patches, shape.patch_values)
            self.register_buffer("eigenframes", basis)
        log_temperature = torch.tensor(contrast.temperature).log()
        if contrast.weight and contrast.learn_temperature:
            self.log_temperature = nn.Parameter(log_temperature)
        else:
            self.register_buffer("log_temperature", log_temperature, persistent=False)
        if goal.background and self.decoder is not None:
            # Predict no difference at first: training starts at the mean image's error.
            nn.init.zeros_(self.decoder.predict.weight)

    @property
    def temperature(self) -> Tensor:
        """Temperature of the contrast, kept within bounds where it is learned."""
        return self.log_temperature.exp().clamp(*_TEMPERATURE_RANGE)

    def forward(self, patches: Tensor, noise: Tensor, decode: float | None = None) -> BeastOutput:
        """Encode the visible patches and do what the settings ask of them.

        Parameters
        ----------
        patches
            ``(N, L, patch values)`` of normalised images, from :func:`tinbergen.nn.vit.patchify`.
        noise
            ``(N, L)``; the patches with the largest are hidden.
        decode
            Share of the hidden patches to decode; default: the settings'.
        """
        goal = self.config.objective
        mask = random_mask(noise, goal.mask_ratio)
        wanted = slice(0, 1) if self.decoder is None else slice(None)  # the contrast reads CLS
        tokens = self.encoder(gather_tokens(patches, mask.keep), mask.keep, wanted)
        share = goal.decode if decode is None else decode
        asked = mask.hide[:, : max(1, round(mask.hide.shape[1] * share))]
        cls = tokens[:, 0]
        return BeastOutput(
            cls=cls,
            embedding=None if self.head is None else self.head(cls),
            prediction=self._reconstruct(tokens, mask.keep, asked),
            decoded=asked,
            hidden=mask.hide,
        )

    def _reconstruct(self, tokens: Tensor, keep: Tensor, asked: Tensor) -> Tensor | None:
        if self.decoder is None:
            return None
        prediction = self.decoder(tokens, keep, asked)
        if self.coefficients is None:
            return prediction
        n, values = len(tokens), self.eigenframes.shape[-1]
        whole = self.coefficients(tokens[:, 0]) @ self.eigenframes.flatten(1).to(tokens.dtype)
        return prediction + gather_tokens(whole.view(n, -1, values), asked)
