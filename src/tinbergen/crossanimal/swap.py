"""Swapping augmentation: a pose of one animal becomes a like pose of another.

Gunel, Aymanns, Honari, Ramdya & Fua, "Overcoming the domain gap in contrastive learning of neural
action representations", IJCV 2022 (arXiv 2112.01176), section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tinbergen.crossanimal.neighbours import Neighbours


@dataclass(frozen=True)
class Swapper:
    """The neighbours of all poses, on the device.

    Attributes
    ----------
    rows
        ``(pose_row, donor, candidate)`` int32; -1 = no candidate.
    log_weights
        Of the candidates, float16.
    donors
        ``(animal,)`` int: how many donors each animal has.
    donor_ids
        ``(animal, donor)`` int: which animals these are.
    """

    rows: Tensor
    log_weights: Tensor
    donors: Tensor
    donor_ids: Tensor

    @classmethod
    def of(cls, neighbours: Neighbours, device: torch.device | None = None) -> Swapper:
        """Put a table onto a device."""
        arrays = (neighbours.rows, neighbours.log_weights, neighbours.donors,
                  neighbours.donor_ids)  # fmt: skip
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    def draw(
        self, rows: Tensor, animal: Tensor, generator: torch.Generator, donor: Tensor | None = None
    ) -> Tensor:
        """Return a like pose of another animal for each pose row; the row itself where none is.

        Parameters
        ----------
        rows
            ``(...)`` pose rows.
        animal
            Of the rows; broadcasts against them.
        donor
            Which of the animal's donors, as ``animal``; default: drawn for each row, all alike.
        """
        animal = animal.expand_as(rows)
        if donor is None:
            noise = torch.rand(rows.shape, generator=generator, device=rows.device)
            donor = (noise * self.donors[animal]).long()
        at = rows, donor.expand_as(rows)
        reached = self.log_weights[at].float().exp().cumsum(dim=-1)
        noise = torch.rand(rows.shape, generator=generator, device=rows.device)
        chosen = (reached <= noise[..., None] * reached[..., -1:]).sum(dim=-1, keepdim=True)
        chosen = chosen.clamp_max(reached.shape[-1] - 1)
        found = self.rows[at].gather(-1, chosen).squeeze(-1).long()
        return torch.where(found >= 0, found, rows)

    def swap(
        self, rows: Tensor, animal: Tensor, probability: float, generator: torch.Generator
    ) -> Tensor:
        """Return ``rows``, each replaced with a probability; a window may mix several animals."""
        noise = torch.rand(rows.shape, generator=generator, device=rows.device)
        return torch.where(noise < probability, self.draw(rows, animal, generator), rows)
