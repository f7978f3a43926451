"""InfoNCE: find the partner of an embedding among the others of a batch."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class InfoNCE(NamedTuple):
    """Loss in nats, share of queries whose best candidate is a partner, and its chance."""

    loss: Tensor
    top1: Tensor
    chance: Tensor


def infonce(
    embeddings: Tensor,
    group: Tensor,
    temperature: float | Tensor = 1.0,
    *,
    exclude: Tensor | None = None,
    queries: Tensor | None = None,
    candidates: Tensor | None = None,
    candidate_group: Tensor | None = None,
) -> InfoNCE:
    """Contrast every embedding with all others; those of its group are its partners.

    van den Oord et al., arXiv 1807.03748, eq. 4, on cosines. With several partners the loss is
    the mean over partners, each against the excluded-free rest of the batch (Khosla et al.,
    arXiv 2004.11362, eq. 2, with groups in the place of classes). The symmetric form of BEAST has
    every row as a query; the paper's asymmetric one only the anchors.

    Parameters
    ----------
    embeddings
        ``(N, D)``, any length; normalised here, in float32.
    group
        ``(N,)`` integers; rows of one group are partners.
    temperature
        Divides the cosines.
    exclude
        ``(N, M)`` booleans: pairs that are neither partners nor negatives, for instance frames
        of one video closer than an exclusion window. Partners are never excluded.
    queries
        ``(N,)`` booleans: rows that ask; all by default.
    candidates, candidate_group
        ``(M, D)`` and ``(M,)``: answers to choose from, ``embeddings`` by default. Where several
        processes gather their embeddings, the first ``N`` must be this process's own.

    Returns
    -------
    InfoNCE
        Scalars. A batch without one query that has a partner gives zeros.

    Examples
    --------
    Unit vectors in identical pairs, otherwise orthogonal, have loss ``log(1 + (B - 2) / e)``:

    >>> z = torch.eye(2).repeat(2, 1)
    >>> round(infonce(z, torch.tensor([0, 1, 0, 1])).loss.item(), 6)
    0.551445
    """
    z = F.normalize(embeddings.float(), dim=1)
    others = z if candidates is None else F.normalize(candidates.float(), dim=1)
    other_group = group if candidate_group is None else candidate_group
    logits = z @ others.T / temperature
    same = torch.zeros_like(logits, dtype=torch.bool)
    same.fill_diagonal_(True)
    partner = (group[:, None] == other_group[None, :]) & ~same
    hidden = same if exclude is None else same | (exclude & ~partner)
    logits = logits.masked_fill(hidden, -torch.inf)
    asks = partner.any(dim=1)
    if queries is not None:
        asks = asks & queries
    weight = partner * asks[:, None] / partner.sum(dim=1, keepdim=True).clamp_min(1)
    n_queries = asks.sum().clamp_min(1)
    log_share = logits.masked_fill(~partner, 0) - logits.masked_fill(~asks[:, None], 0).logsumexp(
        dim=1, keepdim=True
    )
    loss = -(log_share * weight).sum() / n_queries
    with torch.no_grad():
        best = logits.argmax(dim=1, keepdim=True)
        top1 = (partner.gather(1, best).squeeze(1) & asks).sum() / n_queries
        odds = partner.sum(dim=1) / (~hidden).sum(dim=1).clamp_min(1)
        chance = (odds * asks).sum() / n_queries
    return InfoNCE(loss, top1, chance)


class PairedInfoNCE(NamedTuple):
    """Losses in nats of both directions, and the share of first items whose partner is best.

    ``from_first``: each first item asks among the second ones (softmax over rows of the
    similarities); ``from_second``: the reverse (columns); ``loss`` is their sum.
    """

    loss: Tensor
    from_first: Tensor
    from_second: Tensor
    top1: Tensor


def paired_infonce(
    first: Tensor,
    second: Tensor,
    temperature: float | Tensor = 0.1,
    *,
    reduction: Literal["mean", "sum"] = "mean",
) -> PairedInfoNCE:
    """Contrast each item with its partner of the other modality and with the other pairs.

    van den Oord et al., arXiv 1807.03748, eq. 4, on cosines, in both directions as in Zhang et
    al. (ConVIRT), arXiv 2010.00747, eqs. 2-4, with equal weights. The partner stands in the
    denominator, so neither term is below 0.

    Parameters
    ----------
    first, second
        ``(..., N, D)``, any length; normalised here, in float32. Pairs of one batch entry are the
        others' negatives: with a leading axis of animals, negatives are of the same animal.
    temperature
        Divides the cosines.
    reduction
        Over pairs.

    Examples
    --------
    >>> round(paired_infonce(torch.eye(4), torch.eye(4), 1.0).from_first.item(), 6)
    0.743668
    """
    a, b = F.normalize(first.float(), dim=-1), F.normalize(second.float(), dim=-1)
    logits = a @ b.mT / temperature
    partner = logits.diagonal(dim1=-2, dim2=-1)
    # Not logsumexp - partner: near 0, that difference of large numbers is all rounding.
    rows, columns = (-logits.log_softmax(dim=d).diagonal(dim1=-2, dim2=-1) for d in (-1, -2))
    total = torch.mean if reduction == "mean" else torch.sum
    with torch.no_grad():
        top1 = (partner >= logits.amax(dim=-1)).float().mean()
    return PairedInfoNCE(total(rows) + total(columns), total(rows), total(columns), top1)
