"""The generative half of S3LDS: classes switch the dynamics of latents, which make the features.

A class follows from the one before and the latents before, ``p(y_t | y_{t-1}, z_{t-1}) =
softmax(S[y_{t-1}] + W z_{t-1})``; latents follow the dynamics of the class, ``z_t = A_k z_{t-1} +
b_k + noise``; features are ``x_t = C z_t + c + noise``. The first class is uniform, the first
latents are standard normal.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_START_NOISE = 0.1  # variance of the dynamics, of latents of variance 1
_LEAST_NOISE = 0.01  # variance of scaled features that latents leave at first
_START_STAY = 3.0  # log odds of staying against each other class


class Bound(NamedTuple):
    """Terms of the evidence lower bound of each frame, ``(batch, time)`` nats.

    The bound is ``reconstruction - latents - classes``.
    """

    reconstruction: Tensor
    latents: Tensor
    classes: Tensor


class SwitchingDynamics(nn.Module):
    """Parameters of the model, and the lower bound of its evidence.

    Parameters
    ----------
    classes, latents, channels
        Their numbers.
    """

    def __init__(self, classes: int, latents: int, channels: int):
        super().__init__()
        nudge = 0.02 * torch.randn(classes, latents, latents)
        self.dynamics = nn.Parameter(torch.eye(latents) + nudge)
        self.offset = nn.Parameter(0.02 * torch.randn(classes, latents))
        self.log_noise = nn.Parameter(torch.full((classes, latents), math.log(_START_NOISE)))
        self.stay = nn.Parameter(_START_STAY * torch.eye(classes))
        self.lead = nn.Parameter(torch.zeros(classes, latents))
        self.loading = nn.Parameter(torch.randn(channels, latents) / math.sqrt(latents))
        self.mean = nn.Parameter(torch.zeros(channels))
        self.log_seen_noise = nn.Parameter(torch.zeros(channels))

    @torch.no_grad()
    def start_from(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Begin with principal components of the features ``(channel, frame)`` as latents.

        All classes begin with the dynamics that these have over all frames.

        Returns
        -------
        projection
            ``(latent, channel)`` from features (about their mean) to latents.
        variance
            ``(latent,)`` that is left of a latent when the features are known.
        """
        x = x.double()
        n = min(self.loading.shape[1], len(x))
        value, direction = torch.linalg.eigh(torch.cov(x).reshape(len(x), len(x)))
        value = value.flip(0)[:n].clamp(min=1e-6)
        direction = direction.flip(1)[:, :n]
        self.loading.zero_()
        self.loading[:, :n] = (direction * value.sqrt()).float()
        self.mean.copy_(x.mean(dim=1))
        rest = x.var(dim=1) - self.loading.double().square().sum(dim=1)
        self.log_seen_noise.copy_(rest.clamp(min=_LEAST_NOISE).log())
        projection = torch.zeros_like(self.loading).T
        projection[:n] = (direction / value.sqrt()).T.float()
        variance = torch.ones(len(projection))
        variance[:n] = (rest.clamp(min=_LEAST_NOISE).mean() / value).float().clamp(max=1.0)
        z = (projection[:n].double() @ (x - x.mean(dim=1, keepdim=True))).T
        dynamics = torch.linalg.lstsq(z[:-1], z[1:]).solution.T
        left = (z[1:] - z[:-1] @ dynamics.T).var(dim=0)
        # What is left is noise of the features as well.
        noise = torch.maximum(left - 2 * variance[:n], 0.1 * left)
        self.dynamics[:, :n, :n] += (dynamics - torch.eye(n)).float()
        self.log_noise[:, :n] = noise.clamp(min=1e-6).log().float()
        return projection, variance

    def forward(
        self, x: Tensor, q: Tensor, entropy: Tensor, mean: Tensor, log_variance: Tensor,
        noise: Tensor,
    ) -> Bound:  # fmt: skip
        """Return the terms of the bound, of which only that of the classes is sampled.

        Parameters
        ----------
        x
            ``(batch, channel, time)``.
        q, entropy
            ``(batch, class, time)`` posterior of the class, 1 and 0 where it is known; its
            entropy ``(batch, time)``.
        mean, log_variance
            ``(batch, class, latent, time)``: posterior of the latents in each class.
        noise
            The same, standard normal: for the sample.
        """
        variance = log_variance.exp()
        return Bound(
            self._reconstruction(x, q, mean, variance),
            self._latents(q, mean, log_variance, variance),
            self._classes(q, entropy, mean + (0.5 * log_variance).exp() * noise),
        )

    def _reconstruction(self, x: Tensor, q: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        precision = (-self.log_seen_noise).exp()
        # Sums over channels first: (x - C m)' R (x - C m) needs no array (class, channel, time).
        away = x - self.mean[:, None]
        own = (away.square() * precision[:, None]).sum(dim=1)
        weighted = self.loading * precision[:, None]
        cross = torch.einsum("cd,bct,bkdt->bkt", weighted, away, mean)
        square = weighted.T @ self.loading
        seen = torch.einsum("bkdt,de,bket->bkt", mean, square, mean)
        spread = torch.einsum("d,bkdt->bkt", square.diagonal(), variance)
        distance = own[:, None] - 2 * cross + seen + spread
        constant = (self.log_seen_noise + math.log(2 * math.pi)).sum()
        return -0.5 * ((q * distance).sum(dim=1) + constant)

    def _latents(self, q: Tensor, mean: Tensor, log_variance: Tensor, variance: Tensor) -> Tensor:
        """Return the expected divergence from the dynamics, summed over both classes."""
        noise = self.log_noise.exp()[:, :, None]
        # (batch, class before, class, latent, time - 1)
        ahead = torch.einsum("kde,bjet->bjkdt", self.dynamics, mean[..., :-1])
        ahead = ahead + self.offset[:, :, None]
        spread = torch.einsum("kde,bjet->bjkdt", self.dynamics.square(), variance[..., :-1])
        distance = (mean[:, None, ..., 1:] - ahead).square() + spread
        own = variance[..., 1:] / noise + self.log_noise[:, :, None] - log_variance[..., 1:] - 1
        each = (distance / noise).sum(dim=3) + own.sum(dim=2)[:, None]
        later = 0.5 * torch.einsum("bjt,bkt,bjkt->bt", q[..., :-1], q[..., 1:], each)
        first = mean[..., 0].square() + variance[..., 0] - log_variance[..., 0] - 1
        first = 0.5 * (q[..., 0] * first.sum(dim=2)).sum(dim=1)
        return torch.cat([first[:, None], later], dim=1)

    def _classes(self, q: Tensor, entropy: Tensor, sample: Tensor) -> Tensor:
        """Return the divergence of the classes from what those before them foretell."""
        led = torch.einsum("kd,bjdt->bjkt", self.lead, sample[..., :-1])
        log_p = F.log_softmax(led + self.stay[:, :, None], dim=2)
        later = -torch.einsum("bjt,bkt,bjkt->bt", q[..., :-1], q[..., 1:], log_p)
        first = q.new_full((len(q), 1), math.log(q.shape[1]))
        return torch.cat([first, later], dim=1) - entropy
